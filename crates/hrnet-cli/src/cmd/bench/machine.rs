//! Facts for the record: processor, date, commit.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The model name of the processor as the system tells it; elsewhere than on Linux, the architecture.
pub(super) fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model_name(&info).unwrap_or(std::env::consts::ARCH).to_string()
}

fn model_name(info: &str) -> Option<&str> {
    let (_, name) = info.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim()).filter(|name| !name.is_empty())
}

/// Today in universal time, `2026-01-31`.
pub(super) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    date(seconds / 86_400)
}

/// The date of a day after 1970-01-01. Years begin in March here, so that the leap day is the last of a year.
fn date(day: u64) -> String {
    // Days since 0000-03-01; 400 years have 146,097 days.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    // A leap day every 4 years (1,460 days before it), none every 100, one every 400.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March have 31 30 31 30 31 days, twice, then 31 and the rest.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + carry)
}

/// The commit checked out in a folder, with `-dirty` if files differ from it; nothing where git or a repository is
/// missing.
pub(super) fn commit(folder: &Path) -> Option<String> {
    let git = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .output()
        .ok()?;
    let text = String::from_utf8(git.stdout).ok()?;
    Some(text.trim().to_string()).filter(|text| git.status.success() && !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (day, wanted) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_723, "2024-01-01"),
            (20_088, "2024-12-31"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(date(day), wanted);
        }
    }

    #[test]
    fn the_name_of_the_processor() {
        let info = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t: a b\nmodel name\t: Other\n";
        assert_eq!(model_name(info), Some("Some CPU @ 3 GHz"));
        assert_eq!(model_name("processor: 0\n"), None);
        assert!(!cpu_model().is_empty());
    }
}
