//! Looking at Rust source without parsing it: comments and literals are blanked, the rest is searched for words.

/// The source with comments, strings and character literals replaced by spaces; line breaks stay where they are.
pub fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match at(i) {
            '/' if at(i + 1) == '/' => (i..chars.len()).find(|&k| at(k) == '\n').unwrap_or(chars.len()),
            '/' if at(i + 1) == '*' => block_comment_end(&chars, i),
            '"' => string_end(&chars, i),
            'r' if (i == 0 || !is_word(at(i - 1)) || at(i - 1) == 'b' || at(i - 1) == 'c')
                && raw_string_end(&chars, i).is_some() =>
            {
                raw_string_end(&chars, i).unwrap_or(i + 1)
            }
            '\'' if at(i + 1) == '\\' => {
                (i + 3..chars.len()).find(|&k| at(k) == '\'').map_or(chars.len(), |k| k + 1)
            }
            '\'' if at(i + 1) != '\'' && at(i + 2) == '\'' => i + 3,
            _ => {
                out.push(at(i));
                i += 1;
                continue;
            }
        };
        out.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    out
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0usize, start);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of `r#"..."#` that starts at `start`; `None` when it is something else, such as `r#type`.
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let body = start + 1 + hashes;
    if chars.get(body) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((body + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Byte offsets of `word` in code, as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !code[..at].chars().next_back().is_some_and(is_word)
            && !code[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// Byte offsets of calls of the macro `name!`.
pub fn macros<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    words(code, name).filter(move |&at| {
        let rest = &code[at + name.len()..];
        rest.starts_with('!') && !rest.starts_with("!=")
    })
}

/// The 1-based line of a byte offset.
pub fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Attributes that begin with `open`, such as `#![deny(`: byte offset and what stands between the parentheses.
pub fn attributes<'a>(code: &'a str, open: &'a str) -> impl Iterator<Item = (usize, &'a str)> + 'a {
    code.match_indices(open).map(move |(at, _)| {
        let inner = &code[at + open.len()..];
        (at, &inner[..inner.find(")]").unwrap_or(inner.len())])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Spelled in two parts, so that a plain text search for the keyword finds only real uses.
    const KEYWORD: &str = concat!("un", "safe");

    fn found(source: &str) -> Vec<usize> {
        let code = code_only(&source.replace("KEY", KEYWORD));
        words(&code, KEYWORD).map(|at| line_of(&code, at)).collect()
    }

    #[test]
    fn keyword_in_code_is_found() {
        assert_eq!(found("fn a() {}\nKEY fn b() {\n    KEY { c() }\n}"), [2, 3]);
        assert_eq!(found("impl<'a> A<'a> { KEY fn f(&'a self) {} }"), [1]);
        assert_eq!(found("let q = '\"'; KEY { f('\\'') }; let s = \"\\\"\"; KEY { g() }"), [1, 1]);
        assert_eq!(found("let r#type = 1; KEY {}"), [1]);
        assert_eq!(found("let var = r\"\\\"; KEY {}"), [1]);
        assert_eq!(found("f(b'\\\\', '\\u{1F600}'); KEY {}"), [1]);
    }

    #[test]
    fn keyword_elsewhere_is_not_found() {
        assert!(found("// KEY\n/* KEY /* KEY */ KEY */ fn a() {}").is_empty());
        assert!(found("#![forbid(KEY_code)] fn not_KEY() {}").is_empty());
        assert!(found("let a = \"KEY \\\" KEY\"; let b = br##\"\"# KEY\"##;").is_empty());
        assert!(found("let a = \"over\n lines KEY\n\"; //! KEY").is_empty());
    }

    #[test]
    fn unfinished_literals_end_at_the_end() {
        for source in ["\"abc", "r#\"abc\"", "/* abc", "'\\", "'", "r", "\"\\"] {
            assert_eq!(code_only(source).len(), source.len(), "{source}");
        }
    }

    #[test]
    fn macros_are_calls() {
        let code = "print!(); a.print; print != x; if print!=x {} eprint!(); std::print!{}";
        assert_eq!(macros(code, "print").count(), 2);
    }

    #[test]
    fn attribute_contents() {
        let code = "#![deny(\n    clippy::panic,\n    clippy::unwrap_used\n)]\nfn f() {}";
        let found: Vec<_> = attributes(code, "#![deny(").collect();
        assert_eq!(found.len(), 1);
        assert!(words(found[0].1, "clippy::unwrap_used").count() == 1 && !found[0].1.contains("fn"));
    }
}
