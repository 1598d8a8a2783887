//! Bytes as hexadecimal text.

/// Text that is not the hexadecimal form of the bytes wanted; it does not show the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// A character that is no hexadecimal digit.
    #[error("not hexadecimal: only the digits 0-9 and a-f are")]
    NotHex,
    /// More or fewer digits than fit.
    #[error("{got} hexadecimal digits where {wanted} are needed")]
    Length {
        /// How many digits were given.
        got: usize,
        /// How many were needed.
        wanted: usize,
    },
}

/// Lower-case digits, without `0x`.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.as_ref().len() * 2);
    for byte in bytes.as_ref() {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Lower-case digits behind `0x`.
#[must_use]
pub fn encode_0x(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", encode(bytes))
}

/// The bytes of text in either case, with or without `0x`.
///
/// # Errors
/// [`HexError`] when a character is no digit, or their number is odd.
pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
    let digits = bare(text).as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(HexError::Length { got: digits.len(), wanted: digits.len() + 1 });
    }
    digits.chunks_exact(2).map(|pair| Ok(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

/// Exactly `N` bytes of text in either case, with or without `0x`.
///
/// # Errors
/// [`HexError`] when a character is no digit, or there are not exactly 2 × `N`.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let got = bare(text).len();
    let bytes = if got == 2 * N { decode(text)? } else { return Err(HexError::Length { got, wanted: 2 * N }) };
    bytes.try_into().map_err(|_| HexError::Length { got, wanted: 2 * N })
}

fn bare(text: &str) -> &str {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text)
}

fn nibble(digit: u8) -> Result<u8, HexError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(HexError::NotHex),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_hexadecimal_is_refused() {
        assert_eq!(decode("0xAb01"), Ok(vec![0xab, 1]));
        assert_eq!(decode(""), Ok(vec![]));
        assert_eq!(decode("abc"), Err(HexError::Length { got: 3, wanted: 4 }));
        assert_eq!(decode("0x0x"), Err(HexError::NotHex));
        assert_eq!(decode("éé"), Err(HexError::NotHex));
        assert_eq!(decode_array::<2>("0xabcd"), Ok([0xab, 0xcd]));
        assert_eq!(decode_array::<2>("abcdef"), Err(HexError::Length { got: 6, wanted: 4 }));
        assert_eq!(decode_array::<2>("+1+1"), Err(HexError::NotHex));
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes.clone()));
            prop_assert_eq!(decode(&encode_0x(&bytes).to_uppercase()), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,70}") {
            let _ = decode(&text);
            let _ = decode_array::<20>(&text);
        }
    }
}
