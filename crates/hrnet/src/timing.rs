//! Where the time of a command went, and how much memory it took at most.

use serde_json::{Map, Value, json};
use std::ops::{AddAssign, Div};
use std::time::{Duration, Instant};

/// The time of images in parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSplit {
    /// Reading and decoding images.
    pub read: Duration,
    /// Crop and normalisation.
    pub pre: Duration,
    /// Network.
    pub network: Duration,
    /// Decoding.
    pub post: Duration,
}

impl TimeSplit {
    /// The parts by name, in order.
    pub fn parts(&self) -> [(&'static str, Duration); 4] {
        [("read", self.read), ("pre", self.pre), ("network", self.network), ("post", self.post)]
    }

    /// Milliseconds under `<part>_ms`.
    pub fn json_ms(&self) -> Map<String, Value> {
        self.parts().iter().map(|&(name, time)| (format!("{name}_ms"), json!(ms(time)))).collect()
    }
}

impl AddAssign for TimeSplit {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.pre += other.pre;
        self.network += other.network;
        self.post += other.post;
    }
}

impl Div<u32> for TimeSplit {
    type Output = Self;

    fn div(self, parts: u32) -> Self {
        let [read, pre, network, post] = self.parts().map(|(_, time)| time / parts);
        Self { read, pre, network, post }
    }
}

/// The time of a command: from its start to a loaded model, to the first result, and its images in parts.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    started: Instant,
    load: Duration,
    first_result: Option<Duration>,
    /// All images together. Reading goes on while the model is loaded and while the network runs, so that the parts are
    /// not a sum.
    pub images: TimeSplit,
}

impl Timing {
    /// Starts the clock.
    pub fn start() -> Self {
        let (load, images) = (Duration::ZERO, TimeSplit::default());
        Self { started: Instant::now(), load, first_result: None, images }
    }

    /// The model is ready to run.
    pub fn loaded(&mut self) {
        self.load = self.started.elapsed();
    }

    /// There is a result; only the first counts.
    pub fn result(&mut self) {
        self.first_result.get_or_insert(self.started.elapsed());
    }

    /// Milliseconds, and the most memory the process held so far.
    pub fn json(&self) -> Value {
        let mut object = self.images.json_ms();
        object.insert("load_ms".into(), json!(ms(self.load)));
        object.insert("first_result_ms".into(), json!(self.first_result.map(ms)));
        object.insert("peak_memory_bytes".into(), json!(peak_memory()));
        Value::Object(object)
    }
}

/// Milliseconds.
pub fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The most memory that this process held so far, in bytes, where the system says it (Linux: `VmHWM`).
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_the_first_result_stays() {
        let one = TimeSplit {
            read: Duration::from_millis(3),
            post: Duration::from_millis(5),
            ..Default::default()
        };
        let mut timing = Timing::start();
        timing.images += one;
        timing.images += one;
        assert_eq!(timing.json()["first_result_ms"], Value::Null);
        timing.loaded();
        timing.result();
        let first = timing.json()["first_result_ms"].clone();
        timing.result();
        let json = timing.json();
        assert_eq!(json["first_result_ms"], first);
        assert!(json["load_ms"].as_f64() <= first.as_f64());
        assert_eq!(
            (&json["read_ms"], &json["pre_ms"], &json["post_ms"]),
            (&json!(6.0), &json!(0.0), &json!(10.0))
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_measured() {
        let before = peak_memory().unwrap();
        let block = vec![1u8; before as usize + (64 << 20)];
        assert!(peak_memory().unwrap() >= before + (64 << 20), "{}", block[7]);
    }
}
