//! Reading lines from a file or stdin, on a thread of its own: a slow input delays nobody.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use tokio::sync::mpsc;

use super::exit::CommandError;

/// The longest line, in bytes.
const LONGEST: usize = 1024 * 1024;

/// A numbered line, or why it is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InputLine {
    /// Counted from 1.
    pub(crate) number: u64,
    /// Its text without the line end, or what is wrong with it.
    pub(crate) text: Result<String, String>,
}

/// Opens a file, or stdin for `-`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read + Send>, CommandError> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(path).map_err(|error| CommandError::Usage(format!("{} cannot be read: {error}", path.display())))?;
    Ok(Box::new(file))
}

/// Reads everything, up to the longest line's length.
pub(crate) fn read_all(path: &Path) -> Result<String, CommandError> {
    let shown = || if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    let mut text = String::new();
    let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX);
    let read = open(path)?.take(limit + 1).read_to_string(&mut text);
    read.map_err(|error| CommandError::Usage(format!("{} cannot be read: {error}", shown())))?;
    if text.len() > LONGEST {
        return Err(CommandError::Usage(format!("{} is longer than {LONGEST} bytes", shown())));
    }
    Ok(text)
}

/// Delivers the lines of `input` that are not blank, as fast as they are taken.
pub(crate) fn lines(input: Box<dyn Read + Send>) -> Result<mpsc::Receiver<InputLine>, CommandError> {
    let (sender, receiver) = mpsc::channel(16);
    let read = move || {
        let mut input = BufReader::new(input);
        for number in 1.. {
            let text = match next_line(&mut input) {
                Ok(None) => return,
                Ok(Some(text)) => text,
                Err(error) => {
                    let _ = sender.blocking_send(InputLine { number, text: Err(format!("the input cannot be read: {error}")) });
                    return;
                }
            };
            let blank = text.as_ref().is_ok_and(|text| text.trim().is_empty());
            if !blank && sender.blocking_send(InputLine { number, text }).is_err() {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("omnivenue-input".into()).spawn(read);
    started.map(|_| receiver).map_err(|error| CommandError::failed(format!("cannot start a thread: {error}")))
}

/// The next line. One that is too long is skipped to its end, so that the one after it is read whole.
fn next_line(input: &mut impl BufRead) -> std::io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    let mut long = false;
    loop {
        let arrived = input.fill_buf()?;
        if arrived.is_empty() {
            if line.is_empty() && !long {
                return Ok(None);
            }
            break;
        }
        let end = arrived.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(arrived.len());
        long |= line.len() + taken > LONGEST;
        if long {
            line.clear();
        } else {
            line.extend_from_slice(&arrived[..taken]);
        }
        input.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            break;
        }
    }
    if long {
        return Ok(Some(Err(format!("longer than {LONGEST} bytes"))));
    }
    Ok(Some(String::from_utf8(line).map_err(|_| "not UTF-8 text".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<InputLine> {
        let mut receiver = lines(Box::new(std::io::Cursor::new(text.to_vec()))).unwrap();
        std::iter::from_fn(|| receiver.blocking_recv()).collect()
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_skipped() {
        let line = |number, text: &str| InputLine { number, text: Ok(text.to_owned()) };
        assert_eq!(read(b"{}\n\n  \r\nlast"), [line(1, "{}"), line(4, "last")]);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_bad_line_does_not_harm_the_next() {
        let mut text = vec![b'x'; LONGEST + 5];
        text.extend_from_slice(b"\n\xff\xfe\ngood\n");
        let got = read(&text);
        assert_eq!(got.len(), 3);
        assert!(got[0].text.as_ref().is_err_and(|error| error.contains("longer than")));
        assert!(got[1].text.as_ref().is_err_and(|error| error.contains("UTF-8")));
        assert_eq!(got[2], InputLine { number: 3, text: Ok("good".into()) });
    }
}
