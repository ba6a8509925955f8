//! Reads what the modules of a crate name of each other, off their `crate::…` and `super::…` paths.
//! Comments and tests are left out: those may use everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules of a crate, each by its names from the root.
pub(crate) struct Sources(BTreeMap<Vec<String>, File>);

pub(crate) struct File {
    pub(crate) path: PathBuf,
    code: String,
}

impl Sources {
    /// All below a folder, but for those with one of these names.
    pub(crate) fn read(folder: &Path, but: &[&str]) -> Self {
        let mut files = BTreeMap::new();
        read(folder, &[], but, &mut files);
        assert!(files.len() > 15, "the folders were not read");
        Self(files)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[String], &File)> {
        self.0.iter().map(|(module, file)| (&module[..], file))
    }

    /// Modules of one folder that need each other, of each where there are any. An item that a
    /// module takes from the front file counts as taken from where that has it.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let mut folders: BTreeMap<&[String], BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (module, file) in self.iter() {
            for named in file.names(module) {
                for depth in 1..module.len().min(named.path.len()) {
                    let (folder, name) = (&module[..depth], &module[depth]);
                    if folder != &named.path[..depth] {
                        break;
                    }
                    let sibling = self.sibling(folder, &named.path[depth]);
                    let arrows = folders.entry(folder).or_default();
                    let arrows = arrows.entry(name.clone()).or_default();
                    arrows.extend(sibling.filter(|sibling| sibling != name));
                }
            }
        }
        let mut arrows = folders.values().flat_map(BTreeMap::values);
        assert!(arrows.any(|to| !to.is_empty()), "nothing was read");
        let circles = folders.into_iter().map(|(folder, arrows)| {
            let names = circle(arrows).into_iter().flatten();
            names
                .map(|name| format!("{}::{name}", folder.join("::")))
                .collect::<Vec<_>>()
        });
        circles.filter(|circle| !circle.is_empty()).collect()
    }

    /// The module of a folder that has something, or is called so.
    fn sibling(&self, folder: &[String], name: &str) -> Option<String> {
        let child = |name: &str| {
            let module = [folder, &[name.to_owned()]].concat();
            self.0.contains_key(&module)
        };
        if child(name) {
            return Some(name.to_owned());
        }
        let front = self.0.get(folder)?;
        let had = front.has_from(folder);
        let from = had.get(name)?;
        from.strip_prefix(folder)?
            .first()
            .filter(|name| child(name))
            .cloned()
    }
}

/// Something that a file names of its crate.
pub(crate) struct Named {
    pub(crate) line: usize,
    /// From the root.
    pub(crate) path: Vec<String>,
}

impl File {
    /// What it names outside its own module.
    pub(crate) fn names(&self, module: &[String]) -> Vec<Named> {
        let mut found = Vec::new();
        for keyword in ["crate::", "super::"] {
            for (at, _) in self.code.match_indices(keyword) {
                let before = self.code[..at].chars().next_back();
                if before.is_some_and(|before| before.is_alphanumeric() || "_:".contains(before)) {
                    continue;
                }
                let mut rest = &self.code[at..];
                let mut base = module;
                if self.is_in_inline_module(at) {
                    rest = rest.strip_prefix("super::").unwrap_or(rest);
                }
                while let Some(after) = rest.strip_prefix("super::") {
                    rest = after;
                    base = base.split_last().map_or(&[], |(_, base)| base);
                }
                if let Some(after) = rest.strip_prefix("crate::") {
                    (rest, base) = (after, &[]);
                } else if base == module {
                    continue;
                }
                let line = 1 + self.code[..at].matches('\n').count();
                let mut paths = Vec::new();
                tree(base, &mut rest, &mut paths);
                found.extend(paths.into_iter().map(|path| Named { line, path }));
            }
        }
        found
    }

    /// There `super` is the file.
    fn is_in_inline_module(&self, at: usize) -> bool {
        let outer = |line: &&str| *line == "}" || line.contains("mod ") && line.ends_with(" {");
        self.code[..at]
            .lines()
            .rev()
            .find(outer)
            .is_some_and(|line| line != "}")
    }

    /// The origin of each name that its `use` brings in.
    fn has_from(&self, module: &[String]) -> BTreeMap<String, Vec<String>> {
        let mut paths = Vec::new();
        for (at, _) in self.code.match_indices("use ") {
            let line = self.code[..at].rsplit('\n').next().unwrap_or_default();
            if !line.is_empty() && !line.starts_with("pub") {
                continue;
            }
            let mut rest = &self.code[at + "use ".len()..];
            let mut base = module;
            if let Some(after) = rest.strip_prefix("crate::") {
                (rest, base) = (after, &[]);
            }
            rest = rest.strip_prefix("self::").unwrap_or(rest);
            tree(base, &mut rest, &mut paths);
        }
        let named = paths.into_iter();
        named
            .filter_map(|path| Some((path.last()?.clone(), path)))
            .collect()
    }
}

/// Reads all modules in a folder, and those below them.
fn read(folder: &Path, module: &[String], but: &[&str], files: &mut BTreeMap<Vec<String>, File>) {
    for entry in fs::read_dir(folder).expect("there") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.expect("plain");
        if but.contains(&name) {
            continue;
        }
        let module = [module, &[name.to_owned()]].concat();
        if path.is_dir() {
            read(&path, &module, but, files);
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let lines = text.lines().take_while(|line| *line != "mod tests {");
        let code = lines.map(|line| line.split("//").next().unwrap_or_default());
        let code = code.collect::<Vec<_>>().join("\n");
        files.insert(module, File { path, code });
    }
}

/// Reads what follows a path in `use` or elsewhere: a name, `*`, or a group of trees.
fn tree(base: &[String], rest: &mut &str, found: &mut Vec<Vec<String>>) {
    *rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        *rest = group;
        loop {
            *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = rest.strip_prefix('}') {
                *rest = after;
                return;
            }
            tree(base, rest, found);
        }
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '*';
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    assert!(!name.is_empty(), "cannot be read: {:.20}", rest);
    let path = [base, &[name.to_owned()]].concat();
    *rest = after;
    if let Some(after) = after.strip_prefix("::") {
        *rest = after;
        return tree(&path, rest, found);
    }
    if let Some(after) = after.strip_prefix(" as ") {
        *rest = after.trim_start_matches(is_name);
    }
    let own = ["self", "*"].contains(&name);
    found.push(if own { base.to_vec() } else { path });
}

/// Some that need each other, if there are any.
pub(crate) fn circle(mut arrows: BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    loop {
        let before = arrows.len();
        let names: BTreeSet<String> = arrows.keys().cloned().collect();
        let needed: BTreeSet<String> = arrows.values().flatten().cloned().collect();
        arrows.retain(|name, to| needed.contains(name) && !to.is_disjoint(&names));
        if arrows.is_empty() {
            return None;
        }
        if arrows.len() == before {
            return Some(arrows.into_keys().collect());
        }
    }
}
