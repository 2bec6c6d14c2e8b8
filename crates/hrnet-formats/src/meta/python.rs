//! The data in a Python configuration text: assignments of literals. Nothing is run.
//!
//! Read are `None`, `True`, `False`, numbers, texts (also joined ones), lists, tuples, dictionaries, `dict(...)`, names of earlier
//! assignments, and `name['key']` or `name[-1]` of them. Everything else (calls, operators, imports) is [`Py::Unknown`], which stays
//! where it stands: what is beside it is read.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![deny(clippy::cast_possible_truncation, clippy::panic)]

use std::collections::HashMap;

/// Longest text that is read; real ones have some ten thousand bytes.
pub(super) const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting.
const MAX_DEPTH: usize = 64;
/// Values of a text, copies of earlier assignments included.
const MAX_VALUES: usize = 200_000;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Py {
    None,
    Bool(bool),
    Number(f64),
    Text(String),
    /// A list or a tuple.
    List(Vec<Py>),
    /// Entries with a text as key; later ones win.
    Dict(Vec<(String, Py)>),
    /// What is no plain data.
    Unknown,
}

impl Py {
    /// An entry of a dictionary.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.iter().rev().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// An entry along a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) if n.is_finite() => Some(*n),
            _ => None,
        }
    }

    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(l) => l,
            _ => &[],
        }
    }

    /// Number of values, itself included.
    fn size(&self) -> usize {
        match self {
            Self::List(l) => l.iter().fold(1, |n: usize, v| n.saturating_add(v.size())),
            Self::Dict(d) => d.iter().fold(1, |n: usize, (_, v)| n.saturating_add(v.size())),
            _ => 1,
        }
    }
}

/// The assignments of a text as one dictionary, and where it breaks off in the middle of one (a byte).
pub(super) fn read(text: &str) -> (Py, Option<usize>) {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let text = text.get(..end).unwrap_or_default();
    let mut reader = Reader { text, at: 0, names: HashMap::new(), left: MAX_VALUES, cut: false };
    while reader.at < text.len() {
        reader.statement();
    }
    let cut = reader.cut.then_some(text.len());
    let mut names: Vec<(String, Py)> = reader.names.into_iter().collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    (Py::Dict(names), cut)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    names: HashMap<String, Py>,
    /// Values that may still be made.
    left: usize,
    /// Whether the text ended inside a bracket, a text or an assignment.
    cut: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at = self.at.saturating_add(c.len_utf8());
        Some(c)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at = self.at.saturating_add(token.len());
        }
        found
    }

    /// Passes over spaces, comments and continued lines; over ends of lines too inside brackets.
    fn space(&mut self, lines: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\u{c}' => drop(self.bump()),
                '\n' if lines => drop(self.bump()),
                '\\' if self.rest().starts_with("\\\n") => drop(self.take("\\\n")),
                '#' => {
                    let len = self.rest().find('\n').unwrap_or(self.rest().len());
                    self.at = self.at.saturating_add(len);
                }
                _ => break,
            }
        }
    }

    fn name(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let first = rest.chars().next().is_some_and(|c| c == '_' || c.is_alphabetic());
        let len = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        let name = rest.get(..len).filter(|n| first && !n.is_empty())?;
        self.at = self.at.saturating_add(len);
        Some(name)
    }

    /// One line, continued inside brackets: an assignment, or something that is passed over.
    fn statement(&mut self) {
        let indented = self.peek().is_some_and(|c| c == ' ' || c == '\t');
        self.space(false);
        if self.take("\n") || self.take(";") || self.rest().is_empty() {
            return;
        }
        let start = self.at;
        if !indented && let Some(name) = self.name() {
            self.space(false);
            if self.take("=") && self.peek() != Some('=') {
                self.space(false);
                if self.rest().is_empty() {
                    self.cut = true;
                    return;
                }
                let value = self.value(false, 0);
                self.names.insert(name.to_string(), value);
                return;
            }
        }
        self.at = start;
        self.skip(false);
    }

    /// Passes over what is no plain data, up to the end of the value: a comma, a closing bracket or a colon inside brackets, else the
    /// end of the line.
    fn skip(&mut self, inside: bool) {
        let mut depth = 0usize;
        while let Some(c) = self.peek() {
            match c {
                '(' | '[' | '{' => depth = depth.saturating_add(1),
                ')' | ']' | '}' if depth == 0 && inside => return,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                ',' | ':' if depth == 0 && inside => return,
                '\n' | ';' if depth == 0 && !inside => return,
                '#' => {
                    self.space(false);
                    continue;
                }
                '"' | '\'' => {
                    self.string();
                    continue;
                }
                _ => {}
            }
            self.bump();
        }
        self.cut |= depth > 0 || inside;
    }

    /// A whole value: a primary one with nothing but its end behind it, else unknown.
    fn value(&mut self, inside: bool, depth: usize) -> Py {
        self.space(inside);
        let value = self.primary(inside, depth);
        self.space(inside);
        let ends = match self.peek() {
            None => {
                self.cut |= inside;
                true
            }
            Some(c) if inside => matches!(c, ',' | ')' | ']' | '}' | ':'),
            // `a = 1, 2` is a tuple that no configuration has; it is unknown.
            Some(c) => matches!(c, '\n' | ';'),
        };
        if ends {
            return value;
        }
        self.skip(inside);
        Py::Unknown
    }

    fn primary(&mut self, inside: bool, depth: usize) -> Py {
        if depth >= MAX_DEPTH || self.left == 0 {
            self.skip(inside);
            return Py::Unknown;
        }
        self.left = self.left.saturating_sub(1);
        let Some(c) = self.peek() else {
            self.cut = true;
            return Py::Unknown;
        };
        match c {
            '[' => self.sequence(']', depth).0,
            '(' => match self.sequence(')', depth) {
                // Brackets around one value without a comma are no tuple.
                (Py::List(mut list), false) if list.len() == 1 => list.pop().unwrap_or(Py::Unknown),
                (list, _) => list,
            },
            '{' => self.braces(depth),
            '"' | '\'' => self.strings(inside),
            '0'..='9' | '.' | '-' | '+' => self.number(),
            _ => match self.name() {
                Some(name) => self.named(name, inside, depth),
                None => Py::Unknown,
            },
        }
    }

    /// Elements up to the closing bracket, and whether there was a comma.
    fn sequence(&mut self, close: char, depth: usize) -> (Py, bool) {
        self.bump();
        let (mut list, mut comma) = (Vec::new(), false);
        loop {
            self.space(true);
            match self.peek() {
                None => {
                    self.cut = true;
                    return (Py::List(list), comma);
                }
                Some(c) if c == close => {
                    self.bump();
                    return (Py::List(list), comma);
                }
                Some(',') => {
                    comma = true;
                    self.bump();
                }
                Some(')' | ']' | '}' | ':') => {
                    self.bump();
                    list.push(Py::Unknown);
                }
                Some(_) => {
                    let value = self.value(true, depth.saturating_add(1));
                    list.push(value);
                }
            }
        }
    }

    /// `{'key': value}`; a set is unknown.
    fn braces(&mut self, depth: usize) -> Py {
        self.bump();
        let mut entries = Vec::new();
        let mut plain = true;
        loop {
            self.space(true);
            match self.peek() {
                None => {
                    self.cut = true;
                    break;
                }
                Some('}') => {
                    self.bump();
                    break;
                }
                Some(',') => drop(self.bump()),
                Some(')' | ']' | ':') => {
                    self.bump();
                    plain = false;
                }
                Some(_) => {
                    let key = self.value(true, depth.saturating_add(1));
                    self.space(true);
                    if !self.take(":") {
                        plain = false;
                        continue;
                    }
                    let value = self.value(true, depth.saturating_add(1));
                    match key {
                        Py::Text(key) => entries.push((key, value)),
                        // Points are numbered: {0: dict(name='nose', id=0)}.
                        Py::Number(n) => entries.push((n.to_string(), value)),
                        _ => {}
                    }
                }
            }
        }
        if plain { Py::Dict(entries) } else { Py::Unknown }
    }

    /// A constant, `dict(...)`, or an earlier assignment with its indices.
    fn named(&mut self, name: &str, inside: bool, depth: usize) -> Py {
        match name {
            "None" => return Py::None,
            "True" => return Py::Bool(true),
            "False" => return Py::Bool(false),
            _ => {}
        }
        self.space(inside);
        if name == "dict" && self.peek() == Some('(') {
            return self.call(depth);
        }
        // `r'...'` and its like.
        if matches!(name, "r" | "u") && self.peek().is_some_and(|c| c == '"' || c == '\'') {
            return self.strings(inside);
        }
        let Some(mut value) = self.names.get(name).cloned() else { return Py::Unknown };
        while self.peek() == Some('[') {
            let (index, _) = self.sequence(']', depth);
            value = match (index.list(), &value) {
                ([Py::Text(key)], Py::Dict(_)) => value.get(key).cloned().unwrap_or(Py::Unknown),
                ([Py::Number(n)], Py::List(list)) => element(list, *n).cloned().unwrap_or(Py::Unknown),
                _ => Py::Unknown,
            };
            self.space(inside);
        }
        let size = value.size();
        if size > self.left {
            return Py::Unknown;
        }
        self.left = self.left.saturating_sub(size);
        value
    }

    /// `dict(key=value, ...)`; arguments of other forms are passed over.
    fn call(&mut self, depth: usize) -> Py {
        self.bump();
        let mut entries = Vec::new();
        loop {
            self.space(true);
            match self.peek() {
                None => {
                    self.cut = true;
                    break;
                }
                Some(')') => {
                    self.bump();
                    break;
                }
                Some(',' | ']' | '}' | ':') => drop(self.bump()),
                Some(_) => {
                    let key = self.name();
                    self.space(true);
                    match key {
                        Some(key) if self.take("=") => {
                            let value = self.value(true, depth.saturating_add(1));
                            entries.push((key.to_string(), value));
                        }
                        _ => self.skip(true),
                    }
                }
            }
        }
        Py::Dict(entries)
    }

    fn number(&mut self) -> Py {
        let rest = self.rest();
        let mut len = 0usize;
        let mut before = ' ';
        for c in rest.chars() {
            let sign = matches!(c, '-' | '+') && (len == 0 || matches!(before, 'e' | 'E'));
            if !(sign || c == '.' || c == '_' || c.is_ascii_alphanumeric()) {
                break;
            }
            before = c;
            len = len.saturating_add(1);
        }
        let text = rest.get(..len).unwrap_or_default();
        self.at = self.at.saturating_add(len.max(1));
        text.replace('_', "").parse().map_or(Py::Unknown, Py::Number)
    }

    /// Texts that stand one after the other are one.
    fn strings(&mut self, inside: bool) -> Py {
        let mut out = String::new();
        loop {
            out.push_str(&self.string());
            self.space(inside);
            if !self.peek().is_some_and(|c| c == '"' || c == '\'') {
                return Py::Text(out);
            }
        }
    }

    fn string(&mut self) -> String {
        let mut out = String::new();
        let Some(quote) = self.bump() else { return out };
        let triple = [quote, quote].iter().collect::<String>();
        let long = self.take(&triple);
        let end: String = std::iter::repeat_n(quote, if long { 3 } else { 1 }).collect();
        loop {
            if self.take(&end) {
                return out;
            }
            match self.bump() {
                None => {
                    self.cut = true;
                    return out;
                }
                Some('\n') if !long => return out,
                Some('\\') => match self.bump() {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('\n') | None => {}
                    Some(c) => out.push(c),
                },
                Some(c) => out.push(c),
            }
        }
    }
}

fn element(list: &[Py], index: f64) -> Option<&Py> {
    let (from_end, n) = (index < 0.0, index.abs());
    let place = (0..list.len()).find(|&i| i as f64 == if from_end { n - 1.0 } else { n })?;
    if from_end { list.iter().nth_back(place) } else { list.get(place) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Py {
        read(&format!("x = {text}\n")).0.get("x").cloned().unwrap_or(Py::None)
    }

    #[test]
    fn literals() {
        assert_eq!(one("-1.5e-3"), Py::Number(-1.5e-3));
        assert_eq!(one("(1, )"), Py::List(vec![Py::Number(1.0)]));
        assert_eq!(one("(1)"), Py::Number(1.0));
        assert_eq!(one("'a' \"b\\n\""), Py::Text("ab\n".into()));
        assert_eq!(one("''"), Py::Text(String::new()));
        assert_eq!(one("'''a\n'b' '''"), Py::Text("a\n'b' ".into()));
        assert_eq!(one("dict(a=1, b=f(2), c=3)").get("c"), Some(&Py::Number(3.0)));
        assert_eq!(one("dict(a=1, b=f(2), c=3)").get("b"), Some(&Py::Unknown));
        assert_eq!(one("{'a': [None, True], 0: 'n'}").get("0"), Some(&Py::Text("n".into())));
        assert_eq!(one("{1, 2}"), Py::Unknown);
        for code in ["2 ** 3", "f(1)", "a.b", "lambda: 1", "x if y else z", "-", "1 +", "[1] * 2", "not True"]
        {
            assert_eq!(one(code), Py::Unknown, "{code}");
        }
    }

    #[test]
    fn earlier_names_and_their_places() {
        let (all, cut) =
            read("a = [1, dict(b='c')]\nd = a[-1]['b']\ne = a[7]\nimport os; os.system('x')\nf = a\n");
        assert_eq!(
            (all.get("d"), all.get("e"), cut),
            (Some(&Py::Text("c".into())), Some(&Py::Unknown), None)
        );
        assert_eq!(all.get("f"), all.get("a"));
        // Lines of a block are not assignments of the file.
        assert_eq!(read("if 1:\n    a = 2\n").0.get("a"), None);
    }

    #[test]
    fn where_a_text_breaks_off() {
        for text in ["a = dict(b=", "a = [1, 2", "a = 'b", "a =", "a = f(", "a = {1: "] {
            assert_eq!(read(text).1, Some(text.len()), "{text}");
        }
        assert_eq!(read("a = 1").1, None);
    }

    #[test]
    fn hostile_texts_end() {
        for text in [
            "[".repeat(10_000),
            "dict(a=".repeat(5_000),
            "x = ".to_string() + &"{'a':".repeat(5_000),
            ")]}:,;\\".repeat(999),
        ] {
            read(&text);
            read(&format!("x = {text}"));
        }
        // Doubling by names stops at the limit.
        let doubled: String = (0..60).map(|i| format!("a{} = [a{i}, a{i}]\n", i + 1)).collect();
        let (all, _) = read(&format!("a0 = [1, 1]\n{doubled}"));
        assert!(all.size() < 3 * MAX_VALUES);
    }
}
