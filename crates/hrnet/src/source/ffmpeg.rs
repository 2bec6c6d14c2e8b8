//! The `ffmpeg` program, for videos, addresses and cameras: it decodes, we read raw frames from a pipe.
//!
//! It is started with a list of arguments, never through a shell, and ends with the reading. It turns frames upright as the file asks,
//! and gives a constant rate, so that the time of a frame is its number over the rate.

use crate::error::{Context, Result, bail};
use hrnet_image::video::{self, Y4m};
use hrnet_image::yuv::{Colour, Matrix, Range};
use hrnet_image::{Exif, Limits};
use std::ffi::OsString;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Said when the program is missing.
pub const WITHOUT: &str = "reading this needs the ffmpeg program, which was not found; install it (apt install ffmpeg, brew install \
     ffmpeg, winget install ffmpeg) and make sure that it is on the PATH. Without it hrnet reads images, image sequences \
     (frame_%04d.png), Y4M, motion JPEG and AVI with motion JPEG";

/// Protocols that are handed to ffmpeg.
const PROTOCOLS: [&str; 11] =
    ["http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt", "mms"];
/// Bytes of its messages that are kept.
const MESSAGES: usize = 16 << 10;
/// How long its last words are waited for: a program that it started may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Which program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ffmpeg {
    /// A name that is looked for on the PATH, or a file.
    pub program: OsString,
}

impl Default for Ffmpeg {
    fn default() -> Self {
        Self { program: "ffmpeg".into() }
    }
}

/// The input arguments of a camera or an address; `None` for what is neither.
pub(super) fn device(text: &str) -> Result<Option<Vec<String>>> {
    let strings = |list: &[&str]| Some(list.iter().map(|s| s.to_string()).collect());
    if let Some(camera) = text.strip_prefix("camera:") {
        if camera.is_empty() || camera.starts_with('-') {
            bail!("{text}: which camera? write camera:0");
        }
        let numbered = camera.bytes().all(|b| b.is_ascii_digit());
        return Ok(match std::env::consts::OS {
            "macos" => strings(&["-f", "avfoundation", "-i", camera]),
            "windows" => strings(&["-f", "dshow", "-i", &format!("video={camera}")]),
            _ if numbered => strings(&["-f", "v4l2", "-i", &format!("/dev/video{camera}")]),
            _ => strings(&["-f", "v4l2", "-i", camera]),
        });
    }
    if let Some(number) = text.strip_prefix("/dev/video")
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        return Ok(strings(&["-f", "v4l2", "-i", text]));
    }
    let Some((protocol, _)) = text.split_once("://") else { return Ok(None) };
    let protocol = protocol.to_lowercase();
    if !PROTOCOLS.contains(&protocol.as_str()) {
        bail!("{}: the protocol is not one of {}", without_password(text), PROTOCOLS.join(", "));
    }
    // Frames over UDP arrive with holes on most networks.
    let tcp: &[&str] = if protocol.starts_with("rtsp") { &["-rtsp_transport", "tcp"] } else { &[] };
    Ok(strings(&[tcp, &["-i", text]].concat()))
}

/// A file as ffmpeg takes it: never as an option or a protocol, whatever its name.
pub(super) fn file(path: &Path) -> String {
    format!("file:{}", path.to_string_lossy())
}

/// An address without user and password, for messages and results.
pub(super) fn without_password(address: &str) -> String {
    let Some((protocol, rest)) = address.split_once("://") else { return address.to_string() };
    let host_end = rest.find('/').unwrap_or(rest.len());
    match rest[..host_end].rfind('@') {
        Some(at) => format!("{protocol}://{}", &rest[at + 1..]),
        None => address.to_string(),
    }
}

/// What ends a running program from elsewhere; see [`super::Frames`].
pub(super) type Handle = Arc<Mutex<Option<Child>>>;

/// Ends it, if it runs.
pub(super) fn kill(handle: &Handle) {
    if let Some(mut child) = handle.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A running program and its frames.
pub(super) struct Pipe {
    frames: Y4m<BufReader<ChildStdout>>,
    child: Handle,
    messages: Receiver<String>,
    input: Vec<String>,
    given: u64,
    /// The number of the first frame.
    pub first: u64,
}

/// What is asked of it.
pub(super) struct Query<'a> {
    /// As [`super::Kind::Ffmpeg`].
    pub input: &'a [String],
    pub exif: Exif,
    pub start: f64,
    pub duration: Option<f64>,
    pub limits: &'a Limits,
}

impl Ffmpeg {
    fn command(&self, query: &Query<'_>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
        if query.exif == Exif::Ignore {
            command.arg("-noautorotate");
        }
        if query.start > 0.0 {
            command.args(["-ss", &format!("{:.6}", query.start)]);
        }
        command.args(query.input);
        if let Some(seconds) = query.duration {
            command.args(["-t", &format!("{seconds:.6}")]);
        }
        // All colours in one known form, whatever the video has.
        command.args(["-an", "-sn", "-dn", "-vf"]);
        command.arg("scale=out_color_matrix=bt601:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int");
        command.args(["-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "pipe:1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts it and waits for the size of the frames. `handle` gets the running program.
    pub(super) fn open(&self, query: &Query<'_>, handle: &Handle) -> Result<Pipe> {
        let mut child = match self.command(query).spawn() {
            Ok(child) => child,
            Err(e) if e.kind() == ErrorKind::NotFound => bail!("{WITHOUT}"),
            Err(e) => {
                let program = PathBuf::from(&self.program);
                return Err(e).with_context(|| format!("{}: cannot be started", program.display()));
            }
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let guard = Guard(handle);
        let (stdout, stderr) = stdout.zip(stderr).context("ffmpeg has no output")?;
        let (sender, messages) = std::sync::mpsc::channel();
        // Without this thread a program with much to say would wait for ever; then it is better not to begin.
        std::thread::Builder::new()
            .spawn(move || sender.send(last_line(stderr)))
            .context("no thread for the messages of ffmpeg")?;
        let limits = video::Limits {
            max_pixels: query.limits.max_pixels,
            max_side: query.limits.max_side,
            ..video::Limits::default()
        };
        let frames = match Y4m::new(BufReader::with_capacity(1 << 16, stdout), &limits) {
            Ok(frames) => frames.with_colour(Colour { matrix: Matrix::Bt601, range: Range::Limited }),
            Err(e @ video::VideoError::Limit { .. }) => return Err(e.into()),
            // It ended without a frame; its own words say why.
            Err(_) => {
                let said = ended(handle, &messages, query.input, false).1;
                bail!("ffmpeg: {}", said.unwrap_or_else(|| "it gave no frame and no reason".into()));
            }
        };
        std::mem::forget(guard);
        let rate = frames.header().rate.unwrap_or(0.0);
        let first = (query.start * rate).round() as u64;
        Ok(Pipe { frames, child: handle.clone(), messages, input: query.input.to_vec(), given: 0, first })
    }
}

/// Ends the program when opening fails.
struct Guard<'a>(&'a Handle);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        kill(self.0);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

impl Pipe {
    /// Frames per second.
    pub fn rate(&self) -> Option<f64> {
        self.frames.header().rate
    }

    /// The next frame; an error says what ffmpeg said.
    pub fn next_frame(&mut self) -> Result<Option<hrnet_image::Image>> {
        let frame = self.frames.next_frame();
        self.judge(frame.map(|f| f.ok_or(())))
    }

    /// Passes over a frame.
    pub fn skip_frame(&mut self) -> Result<bool> {
        let frame = self.frames.skip_frame();
        Ok(self.judge(frame.map(|there| if there { Ok(()) } else { Err(()) }))?.is_some())
    }

    fn judge<T>(&mut self, frame: Result<Result<T, ()>, video::VideoError>) -> Result<Option<T>> {
        if let Ok(Ok(frame)) = frame {
            self.given += 1;
            return Ok(Some(frame));
        }
        let at_end = !matches!(frame, Err(ref e) if !matches!(e, video::VideoError::Truncated { .. }));
        let (good, said) = ended(&self.child, &self.messages, &self.input, at_end);
        match (frame, good, said) {
            // A damaged video ends early and looks like a shorter one; its messages tell.
            (_, _, Some(said)) => bail!("ffmpeg, after {} frames: {said}", self.given),
            (Err(e), _, None) => bail!("ffmpeg, after {} frames: {e}", self.given),
            (_, false, None) => bail!("ffmpeg failed after {} frames and gave no reason", self.given),
            _ => Ok(None),
        }
    }
}

/// Waits for the end of the program: whether it was a good one, and the last line it said.
fn ended(
    handle: &Handle,
    messages: &Receiver<String>,
    input: &[String],
    at_end: bool,
) -> (bool, Option<String>) {
    let child = handle.lock().unwrap_or_else(PoisonError::into_inner).take();
    // At the end of its output it is about to end; in any other case nobody reads on, and it is ended.
    let good = child.is_none_or(|mut child| {
        if !at_end {
            let _ = child.kill();
        }
        child.wait().is_ok_and(|status| status.success())
    });
    let said = messages.recv_timeout(LAST_WORDS).ok().filter(|line| !line.is_empty());
    let said =
        said.map(|line| input.iter().fold(line, |line, part| line.replace(part, &without_password(part))));
    (good, said)
}

/// The last line of the messages that is not empty; of a flood, the last of the end.
fn last_line(mut messages: impl Read) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut block = [0u8; 1024];
    loop {
        match messages.read(&mut block) {
            Ok(0) => break,
            Ok(n) => {
                kept.extend_from_slice(&block[..n]);
                if kept.len() > 2 * MESSAGES {
                    kept.drain(..kept.len() - MESSAGES);
                }
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&kept);
    text.lines().rev().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default().to_string()
}
