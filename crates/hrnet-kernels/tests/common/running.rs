//! Says which case was running when a guard page was hit: a fault ends the process, so no panic message would.

#[cfg(all(target_os = "linux", not(miri)))]
mod imp {
    use std::ffi::c_void;
    use std::fmt::Write;
    use std::sync::Once;
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    unsafe extern "C" {
        fn signal(number: i32, handler: usize) -> usize;
        fn write(fd: i32, buf: *const c_void, len: usize) -> isize;
    }

    const SEGMENTATION_FAULT: i32 = 11;
    const BUS_ERROR: i32 = 7;
    const LENGTH: usize = 200;
    /// Test functions of one file that may run at the same time.
    const SLOTS: usize = 16;

    struct Slot {
        len: AtomicUsize,
        text: [AtomicU8; LENGTH],
    }

    static CASES: [Slot; SLOTS] =
        [const { Slot { len: AtomicUsize::new(0), text: [const { AtomicU8::new(0) }; LENGTH] } }; SLOTS];
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static INSTALLED: Once = Once::new();

    /// A place for the name of the running case.
    pub struct Running(&'static Slot);

    impl Running {
        pub fn new() -> Running {
            INSTALLED.call_once(|| {
                for number in [SEGMENTATION_FAULT, BUS_ERROR] {
                    // SAFETY: the handler calls async-signal-safe functions only.
                    unsafe { signal(number, report as *const () as usize) };
                }
            });
            Running(&CASES[NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS])
        }

        pub fn set(&self, case: std::fmt::Arguments) {
            let mut cursor = Cursor { slot: self.0, at: 0 };
            // A longer name is cut.
            let _ = cursor.write_fmt(case);
            self.0.len.store(cursor.at, Ordering::Release);
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.len.store(0, Ordering::Release);
        }
    }

    struct Cursor {
        slot: &'static Slot,
        at: usize,
    }

    impl Write for Cursor {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for &byte in text.as_bytes() {
                self.slot.text.get(self.at).ok_or(std::fmt::Error)?.store(byte, Ordering::Relaxed);
                self.at += 1;
            }
            Ok(())
        }
    }

    fn say(text: &[u8]) {
        // SAFETY: `text` is readable; standard error may be closed, which is no harm.
        unsafe { write(2, text.as_ptr().cast(), text.len()) };
    }

    /// Prints the running cases and lets the fault happen again, this time with the default action.
    extern "C" fn report(number: i32) {
        for slot in &CASES {
            let mut line = [0; LENGTH];
            let len = slot.len.load(Ordering::Acquire).min(LENGTH);
            if len > 0 {
                line.iter_mut().zip(&slot.text).for_each(|(l, t)| *l = t.load(Ordering::Relaxed));
                say(b"memory fault while running: ");
                say(&line[..len]);
                say(b"\n");
            }
        }
        // SAFETY: resets to the default action.
        unsafe { signal(number, 0) };
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
mod imp {
    pub struct Running;

    impl Running {
        pub fn new() -> Running {
            Running
        }

        pub fn set(&self, _: std::fmt::Arguments) {}
    }
}

pub use imp::Running;
