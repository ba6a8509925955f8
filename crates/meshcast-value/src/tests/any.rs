//! Random values, for the tests here and for those of other implementations, to which
//! `examples/transcode.rs` hands them.

use super::*;

/// Values of every kind, with shared references and cycles wherever chance puts them.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    proptest::collection::vec(
        (0u8..16, proptest::collection::vec(any_piece(), 0..6)),
        1..12,
    )
    .prop_map(build)
}

/// A primitive, or the number of an object to refer to.
#[derive(Clone, Debug)]
enum Piece {
    Primitive(Part),
    Object(usize),
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let part = |part: Part| Piece::Primitive(part);
    prop_oneof![
        Just(part(Part::UNDEFINED)),
        Just(part(Part::NULL)),
        any::<bool>().prop_map(move |bool| part(bool.into())),
        any::<f64>().prop_map(move |number| part(number.into())),
        any::<i64>().prop_map(move |int| part(int.into())),
        (-300i32..300).prop_map(move |int| part(int.into())),
        any::<i128>().prop_map(move |int| part(BigInt::from(int).into())),
        ".{0,8}".prop_map(move |text| part(text.into())),
        proptest::collection::vec(any::<u16>(), 0..4)
            .prop_map(move |units| part(JsString::from_utf16(&units).into())),
        (0usize..12).prop_map(Piece::Object),
        (0usize..12).prop_map(Piece::Object),
        (0usize..12).prop_map(Piece::Object),
    ]
}

fn build(recipes: Vec<(u8, Vec<Piece>)>) -> Value {
    let mut b = ValueBuilder::new();
    let root = b.array();
    let mut objects: Vec<Part> = vec![root.into()];
    let mut fill: Vec<(Container, Vec<Piece>)> = Vec::new();
    for (kind, pieces) in recipes {
        let size = pieces.len();
        let (part, container) = match kind {
            0 | 1 => with(b.array(), Container::Array),
            2 | 3 => with(b.object(), Container::Object),
            4 => with(b.map(), Container::Map),
            5 => with(b.set_object(), Container::Set),
            6 => with(b.error("TypeError", "message"), Container::Error),
            7 => (b.bytes(vec![7; size]), Container::None),
            8 => {
                let buffer = b.buffer(vec![1; 16]);
                objects.push(b.view(ViewKind::Uint8, buffer, 0, 16).expect("inside"));
                objects.push(
                    b.view(ViewKind::Float32, buffer, 4, size.min(3))
                        .expect("inside"),
                );
                (buffer.into(), Container::None)
            }
            9 => {
                let buffer = b.resizable_buffer(vec![2; size], 64).expect("larger");
                (
                    b.tracking_view(ViewKind::DataView, buffer, 0)
                        .expect("resizable"),
                    Container::None,
                )
            }
            10 => (b.date(size as f64), Container::None),
            11 => (b.regexp("a+", "gi"), Container::None),
            12 => (b.boxed(size as f64).expect("number"), Container::None),
            13 => (b.dom_exception("AbortError", "stopped"), Container::None),
            14 => (b.blob("text/plain", vec![b'x'; size]), Container::None),
            _ => (
                b.file("a.txt", "text/plain", vec![b'y'; size], 1500.0),
                Container::None,
            ),
        };
        objects.push(part);
        fill.push((container, pieces));
    }
    for (container, pieces) in fill {
        let parts: Vec<Part> = pieces
            .into_iter()
            .map(|piece| resolve(piece, &objects))
            .collect();
        container.fill(&mut b, parts);
    }
    for object in objects {
        b.push(root, object).expect("short");
    }
    b.finish(root)
}

fn resolve(piece: Piece, objects: &[Part]) -> Part {
    match piece {
        Piece::Primitive(part) => part,
        Piece::Object(index) => objects[index % objects.len()].clone(),
    }
}

enum Container {
    None,
    Array(ArrayId),
    Object(ObjectId),
    Map(MapId),
    Set(SetId),
    Error(ErrorId),
}

fn with<T: Copy + Into<Part>>(id: T, container: fn(T) -> Container) -> (Part, Container) {
    (id.into(), container(id))
}

impl Container {
    fn fill(self, b: &mut ValueBuilder, parts: Vec<Part>) {
        for (i, part) in parts.into_iter().enumerate() {
            match self {
                Self::None => {}
                Self::Array(array) if i == 4 => b.set_property(array, "extra", part),
                Self::Array(array) => {
                    b.push(array, part).expect("short");
                    if i % 2 == 1 {
                        b.push_holes(array, i as u32).expect("short");
                    }
                }
                Self::Object(object) => b.set(object, format!("key{i}"), part),
                Self::Map(map) => b.insert(map, i as f64, part),
                Self::Set(set) => {
                    // No member twice, as other implementations would leave out the second.
                    let holder = b.array();
                    b.push(holder, part).expect("short");
                    b.add_member(set, holder);
                    b.add_member(set, i as f64);
                }
                Self::Error(error) => b.set_cause(error, part),
            }
        }
    }
}
