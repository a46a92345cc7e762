//! Unsigned LEB128 and zigzag, for the sketch's byte format. Reading never panics and never reads past the end.

/// Appends `value` in groups of seven bits, lowest first.
pub(crate) fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one number from the front of `bytes`; `None` when it is cut off or longer than 64 bits.
pub(crate) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for index in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let group = u64::from(byte & 0x7f);
        if index == 9 && group > 1 {
            return None;
        }
        value |= group << (7 * index);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Maps small numbers of either sign to small unsigned ones: 0, -1, 1, -2 … to 0, 1, 2, 3 …
pub(crate) const fn zigzag(value: i32) -> u64 {
    ((value << 1) ^ (value >> 31)) as u32 as u64
}

/// The inverse of [`zigzag`]; `None` beyond 32 bits.
pub(crate) const fn unzigzag(value: u64) -> Option<i32> {
    if value > u32::MAX as u64 {
        return None;
    }
    Some(((value >> 1) as i32) ^ -((value & 1) as i32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reading_undoes_writing(value: u64, key: i32) {
            let mut bytes = Vec::new();
            write(value, &mut bytes);
            write(zigzag(key), &mut bytes);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read(&mut rest), Some(value));
            prop_assert_eq!(read(&mut rest).and_then(unzigzag), Some(key));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        assert_eq!(read(&mut [0xff; 10].as_slice()), None);
        assert_eq!(read(&mut [0x80, 0x80].as_slice()), None);
    }
}
