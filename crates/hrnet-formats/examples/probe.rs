use hrnet_formats::*;
fn main() {
    for path in std::env::args().skip(1) {
        let t = std::time::Instant::now();
        match load_path(&path, &LoadOptions::default()) {
            Ok(c) => {
                let r = &c.report;
                println!(
                    "{path}: {} scheme {:?} entry {:?} prefix {:?} renamed {} filled {:?} ignored {} repaired {:?} conv {:?} notes {:?} [{:?}]",
                    c.model,
                    r.scheme,
                    r.entry,
                    r.prefix,
                    r.renamed.len(),
                    r.filled,
                    r.ignored.len(),
                    r.repaired,
                    r.conversions,
                    r.notes,
                    t.elapsed()
                );
            }
            Err(e) => println!(
                "{path}: ERROR {} ({:?})",
                e.to_string().lines().take(4).collect::<Vec<_>>().join(" | "),
                t.elapsed()
            ),
        }
    }
}
