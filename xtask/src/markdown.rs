//! What the checks need from Markdown: relative links, shell commands, inline code.

/// A piece of a page and its 1-based line.
pub type Piece = (usize, String);

/// Lines outside fenced blocks, inline code blanked.
fn prose(page: &str) -> Vec<Piece> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (i, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // Odd parts of a split at back-ticks are inline code.
            let parts: Vec<String> = line
                .split('`')
                .enumerate()
                .map(|(k, p)| if k % 2 == 0 { p.into() } else { " ".repeat(p.len()) })
                .collect();
            lines.push((i + 1, parts.join("`")));
        }
    }
    lines
}

/// Targets of `[text](target)`, `[name]: target`, `src="target"` and `href="target"` that are paths, without `#anchor`.
pub fn relative_links(page: &str) -> Vec<Piece> {
    let mut links = Vec::new();
    for (number, line) in prose(page) {
        let mut targets = Vec::new();
        for (open, close) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            for (at, _) in line.match_indices(open) {
                let rest = &line[at + open.len()..];
                targets.push(&rest[..rest.find(close).unwrap_or(rest.len())]);
            }
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            targets.push(target);
        }
        for target in targets {
            let target = target.split_whitespace().next().unwrap_or("").trim_matches(['<', '>']);
            let path = target.split('#').next().unwrap_or("");
            if !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:") {
                links.push((number, path.to_string()));
            }
        }
    }
    links
}

/// The lines of ```` ```sh ```` blocks.
pub fn shell_lines(page: &str) -> Vec<Piece> {
    let mut block: Option<bool> = None;
    let mut lines = Vec::new();
    for (i, line) in page.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.trim() == "sh") };
        } else if block == Some(true) {
            lines.push((i + 1, line.trim().to_string()));
        }
    }
    lines
}

/// Inline code spans of a page.
pub fn inline_code(page: &str) -> Vec<Piece> {
    let mut spans = Vec::new();
    for (number, line) in prose(page) {
        let original = page.lines().nth(number - 1).unwrap_or("");
        if line.matches('`').count() >= 2 {
            spans.extend(original.split('`').skip(1).step_by(2).map(|span| (number, span.to_string())));
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_and_cleaned() {
        let page = "See [a](docs/a.md#part) and ![p](p.png \"title\"), [web](https://x.y/z), [here](#there).\n\
                    [ref]: ../b.md\n<img src=\"c.png\">\n`[not](this.md)` [but](that.md)\n\
                    ```sh\n[nor](this.md)\n```\n[mail](mailto:a@b.c)";
        let links: Vec<_> = relative_links(page);
        let expected = [(1, "docs/a.md"), (1, "p.png"), (2, "../b.md"), (3, "c.png"), (4, "that.md")];
        assert_eq!(links, expected.map(|(line, path)| (line, path.to_string())));
    }

    #[test]
    fn shell_blocks_only() {
        let page = "```sh\ncargo a\n  hrnet b\n```\ncargo c\n```rust\ncargo d\n```\n```sh\ncargo e\n```";
        let found: Vec<_> =
            shell_lines(page).into_iter().map(|(line, text)| format!("{line} {text}")).collect();
        assert_eq!(found, ["2 cargo a", "3 hrnet b", "10 cargo e"]);
    }

    #[test]
    fn inline_spans() {
        let page = "Use `hrnet info` or `x`.\n```\n`no`\n```";
        assert_eq!(inline_code(page), [(1, "hrnet info".to_string()), (1, "x".to_string())]);
    }
}
