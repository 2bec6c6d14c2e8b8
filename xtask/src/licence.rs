//! SPDX licence expressions: `OR`, `AND`, `WITH`, parentheses, and the old `MIT/Apache-2.0`.

/// Whether an expression can be met with licences from `allowed` alone. `X WITH Y` is one name in that list.
pub fn is_allowed(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { tokens: spaced.split_whitespace().collect(), next: 0, allowed };
    let verdict = parser.any()?;
    match parser.peek() {
        None => Ok(verdict),
        Some(token) => Err(format!("unexpected '{token}' in licence '{expression}'")),
    }
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    next: usize,
    allowed: &'a [String],
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self, token: &str) -> bool {
        let hit = self.peek() == Some(token);
        self.next += usize::from(hit);
        hit
    }

    /// `all { OR all }`: AND binds tighter.
    fn any(&mut self) -> Result<bool, String> {
        let mut verdict = self.all()?;
        while self.take("OR") {
            verdict |= self.all()?;
        }
        Ok(verdict)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Ok(verdict)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let verdict = self.any()?;
            return if self.take(")") { Ok(verdict) } else { Err("missing ')' in a licence".into()) };
        }
        let mut name = self.name()?.to_string();
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.name()?);
        }
        Ok(self.allowed.contains(&name))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let name = self.peek().filter(|t| !matches!(*t, "OR" | "AND" | "WITH" | "(" | ")"));
        self.next += 1;
        name.ok_or_else(|| "a licence name is missing".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> Result<bool, String> {
        is_allowed(
            expression,
            &["MIT", "Zlib", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(String::from),
        )
    }

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(GPL-3.0 OR MIT) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "GPL-3.0 AND X OR MIT",
        ] {
            assert_eq!(check(good), Ok(true), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "mit",
            "MIT AND GPL-3.0",
            "(MIT OR Zlib) AND X",
            "Apache-2.0",
            "MIT WITH LLVM-exception",
        ] {
            assert_eq!(check(bad), Ok(false), "{bad}");
        }
    }

    #[test]
    fn broken_expressions_are_errors() {
        for broken in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT Zlib", "MIT WITH", "()"] {
            assert!(check(broken).is_err(), "{broken}");
        }
    }
}
