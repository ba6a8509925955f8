//! Messages whose type changes between two versions of a service: the table of `docs/schema.md`,
//! made here.
//!
//! `MESHCAST_WRITE_DOCS=1 cargo test -p meshcast-value --test schema` writes it.

#![expect(clippy::disallowed_methods, reason = "it reads and writes a document")]

use std::{fmt::Debug, fs};

use meshcast_value::{from_bytes, to_bytes};
use serde::{Serialize, de::DeserializeOwned};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema.md");
const BEGIN: &str = "<!-- made by crates/meshcast-value/tests/schema.rs -->\n";
const END: &str = "<!-- end -->\n";

/// Two versions of a type, each with a message, as rows of the table.
macro_rules! changes {
    ($($title:literal
        { $($was:tt)* } $old:expr;
        { $($is:tt)* } $new:expr;)*) => {
        vec![$({
            #[allow(dead_code, reason = "fields are read and written by serde alone")]
            mod was {
                use serde::{Deserialize, Serialize};
                #[derive(Debug, Serialize, Deserialize)]
                $($was)*
                pub(super) fn written() -> Vec<u8> { super::written(&$old) }
                pub(super) fn read(bytes: &[u8]) -> String { super::read::<Price>(bytes) }
            }
            #[allow(dead_code, reason = "fields are read and written by serde alone")]
            mod is {
                use serde::{Deserialize, Serialize};
                #[derive(Debug, Serialize, Deserialize)]
                $($is)*
                pub(super) fn written() -> Vec<u8> { super::written(&$new) }
                pub(super) fn read(bytes: &[u8]) -> String { super::read::<Price>(bytes) }
            }
            format!(
                "| {} | `{}` → `{}` | {} | {} |\n",
                $title,
                shown(stringify!($($was)*)),
                shown(stringify!($($is)*)),
                is::read(&was::written()),
                was::read(&is::written()),
            )
        }),*]
    };
}

fn written(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    to_bytes(value, &mut bytes).expect("plain data");
    bytes
}

fn read<T: DeserializeOwned + Debug>(bytes: &[u8]) -> String {
    match from_bytes::<T>(bytes) {
        Ok(value) => format!("`{value:?}`"),
        Err(error) => format!("refused: {error}"),
    }
}

/// On one line, as it is written by hand, and without what would end a cell.
fn shown(item: &str) -> String {
    let item = item.split_whitespace().collect::<Vec<_>>().join(" ");
    item.replace(", }", " }").replace('|', "\\|")
}

fn rows() -> Vec<String> {
    changes! {
        "Fields in another order"
        { struct Price { symbol: String, cents: u32 } } Price { symbol: "A".into(), cents: 42 };
        { struct Price { cents: u32, symbol: String } } Price { symbol: "A".into(), cents: 42 };

        "Field added"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: u32, lots: u32 } } Price { cents: 42, lots: 3 };

        "Field added, with a default"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: u32, #[serde(default)] lots: u32 } } Price { cents: 42, lots: 3 };

        "Field added, optional"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: u32, lots: Option<u32> } } Price { cents: 42, lots: Some(3) };

        "Field added, and the old type allows no others"
        { #[serde(deny_unknown_fields)] struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: u32, #[serde(default)] lots: u32 } } Price { cents: 42, lots: 3 };

        "Field removed"
        { struct Price { cents: u32, lots: u32 } } Price { cents: 42, lots: 3 };
        { struct Price { cents: u32 } } Price { cents: 42 };

        "Field removed that was optional"
        { struct Price { cents: u32, lots: Option<u32> } } Price { cents: 42, lots: Some(3) };
        { struct Price { cents: u32 } } Price { cents: 42 };

        "Field made optional, and there"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: Option<u32> } } Price { cents: Some(42) };

        "Field made optional, and not there"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: Option<u32> } } Price { cents: None };

        "Field made optional and left out, where the old type has a default"
        { struct Price { #[serde(default)] cents: u32 } } Price { cents: 42 };
        { struct Price { #[serde(skip_serializing_if = "Option::is_none")] cents: Option<u32> } }
            Price { cents: None };

        "Field renamed"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { amount: u32 } } Price { amount: 42 };

        "Field renamed, the old name is read too"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { #[serde(alias = "cents")] amount: u32 } } Price { amount: 42 };

        "Field renamed in the code alone"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { #[serde(rename = "cents")] amount: u32 } } Price { amount: 42 };

        "Integer widened, and small"
        { struct Price { cents: u8 } } Price { cents: 42 };
        { struct Price { cents: u64 } } Price { cents: 42 };

        "Integer widened, and large"
        { struct Price { cents: u8 } } Price { cents: 42 };
        { struct Price { cents: u64 } } Price { cents: 300 };

        "Integer gets a sign"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: i32 } } Price { cents: -1 };

        "Integer becomes a float, and is whole"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: f64 } } Price { cents: 42.0 };

        "Integer becomes a float, and is not whole"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: f64 } } Price { cents: 0.5 };

        "Number becomes text"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: String } } Price { cents: "42".into() };

        "One becomes several"
        { struct Price { cents: u32 } } Price { cents: 42 };
        { struct Price { cents: Vec<u32> } } Price { cents: vec![42] };

        "Wrapped in a type of its own"
        { struct Price(u32); } Price(42);
        { struct Price(Cents); #[derive(Debug, Serialize, Deserialize)] struct Cents(u32); }
            Price(Cents(42));

        "Variant added"
        { enum Price { Ask(u32) } } Price::Ask(42);
        { enum Price { Ask(u32), Bid(u32) } } Price::Bid(42);

        "Variant added, where the old type has one for others"
        { enum Price { None, #[serde(other)] Other } } Price::None;
        { enum Price { None, Market } } Price::Market;

        "Variant with data added, where the old type has one for others"
        { enum Price { None, #[serde(other)] Other } } Price::None;
        { enum Price { None, Ask(u32) } } Price::Ask(42);

        "Variant gets a field"
        { enum Price { Ask { cents: u32 } } } Price::Ask { cents: 42 };
        { enum Price { Ask { cents: u32, lots: Option<u32> } } }
            Price::Ask { cents: 42, lots: Some(3) };

        "Variant gets data"
        { enum Price { Market } } Price::Market;
        { enum Price { Market(u32) } } Price::Market(42);

        "Variant renamed, the old name is read too"
        { enum Price { Ask(u32) } } Price::Ask(42);
        { enum Price { #[serde(alias = "Ask")] Sell(u32) } } Price::Sell(42);
    }
}

#[test]
fn the_table_of_the_document_says_what_happens() {
    let table =
        "| Change | Was → is | New code reads an old message as | Old code reads a new one as |\n\
                 |---|---|---|---|\n"
            .to_owned()
            + &rows().concat();
    let document = fs::read_to_string(DOCUMENT).expect("the document");
    let begin = document.find(BEGIN).expect("where it begins") + BEGIN.len();
    let end = document.find(END).expect("where it ends");
    if std::env::var_os("MESHCAST_WRITE_DOCS").is_some() {
        let written = format!("{}{table}{}", &document[..begin], &document[end..]);
        return fs::write(DOCUMENT, written).expect("writable");
    }
    assert_eq!(
        &document[begin..end],
        table,
        "write it anew with MESHCAST_WRITE_DOCS=1, and tell users in CHANGELOG.md"
    );
}
