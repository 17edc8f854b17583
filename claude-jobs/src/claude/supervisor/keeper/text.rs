//! Strings as the kernel takes them, and short ones made without memory from anybody.

#![allow(unsafe_code)]

use core::ffi::{CStr, c_char};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A string that ends with NUL. A list of these, as options, is an `argv` when its last is `None`.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Text<'a> {
    start: NonNull<c_char>,
    string: PhantomData<&'a CStr>,
}

impl<'a> Text<'a> {
    pub(crate) fn of(string: &'a CStr) -> Self {
        Self { start: NonNull::from(string).cast(), string: PhantomData }
    }

    pub(crate) fn string(self) -> &'a CStr {
        // SAFETY: it was made of one that lives so long.
        unsafe { CStr::from_ptr(self.start.as_ptr()) }
    }

    /// For the kernel.
    pub(super) fn address(self) -> usize {
        self.start.as_ptr() as usize
    }
}

/// How a program was started.
pub(crate) struct Invocation<'a> {
    /// The program's name and its arguments, and `None`.
    pub(crate) arguments: &'a mut [Option<Text<'a>>],
    /// `NAME=value`, and `None`.
    pub(crate) variables: &'a mut [Option<Text<'a>>],
}

impl<'a> Invocation<'a> {
    /// The value of a variable.
    pub(super) fn variable(&self, name: &str) -> Option<&'a CStr> {
        self.variables.iter().flatten().find_map(|variable| value(*variable, name))
    }

    /// The same; afterwards the variable is none of the list.
    pub(super) fn take_variable(&mut self, name: &str) -> Option<&'a CStr> {
        let taken = self.variable(name)?;
        let mut kept = 0;
        for index in 0..self.variables.len() {
            let variable = self.variables[index];
            if variable.is_none_or(|variable| value(variable, name).is_none()) {
                self.variables[kept] = variable;
                kept += 1;
            }
        }
        self.variables[kept..].fill(None);
        Some(taken)
    }
}

fn value<'a>(variable: Text<'a>, name: &str) -> Option<&'a CStr> {
    let rest = variable.string().to_bytes_with_nul().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    CStr::from_bytes_with_nul(rest).ok()
}

/// A line that is written piece by piece.
pub(super) struct Line<const ROOM: usize> {
    /// Zero from `length` on.
    bytes: [u8; ROOM],
    length: usize,
    is_whole: bool,
}

impl<const ROOM: usize> Line<ROOM> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0, is_whole: true }
    }

    pub(super) fn text(mut self, text: &[u8]) -> Self {
        match self.bytes.get_mut(self.length..self.length + text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                self.length += text.len();
            }
            None => self.is_whole = false,
        }
        self
    }

    pub(super) fn number(self, number: u32) -> Self {
        let mut digits = [0; 10];
        let (mut rest, mut start) = (number, digits.len());
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                return self.text(&digits[start..]);
            }
        }
    }

    /// `None` when it did not fit in.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.is_whole.then(|| &self.bytes[..self.length])
    }

    /// The same, for the kernel.
    pub(super) fn string(&self) -> Option<&CStr> {
        self.bytes()?;
        CStr::from_bytes_with_nul(self.bytes.get(..=self.length)?).ok()
    }
}

/// A decimal number, all of the text.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(digit.into()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_variable_is_gone() {
        let mut none = [None];
        let of = |variables: &[&'static CStr]| -> Vec<_> {
            variables.iter().map(|variable| Some(Text::of(variable))).chain([None]).collect()
        };
        let mut variables = of(&[c"A=1", c"ORDER=x y=z", c"ORDER_OF=2", c"ORDER=twice", c"B="]);
        let mut invocation = Invocation { arguments: &mut none, variables: &mut variables };
        assert_eq!(invocation.variable("B"), Some(c""));
        assert_eq!(invocation.take_variable("ORDER"), Some(c"x y=z"));
        assert_eq!(invocation.take_variable("ORDER"), None);
        let variables = invocation.variables;
        let left: Vec<_> = variables.iter().flatten().map(|variable| variable.string()).collect();
        assert_eq!(left, [c"A=1", c"ORDER_OF=2", c"B="]);
        assert!(variables.last().is_some_and(Option::is_none));
    }

    #[test]
    fn lines_and_numbers() {
        let line = Line::<16>::new().text(b"/proc/").number(0).text(b"/").number(4_711);
        assert_eq!(line.string(), Some(c"/proc/0/4711"));
        assert_eq!(Line::<10>::new().number(u32::MAX).bytes(), Some(&b"4294967295"[..]));
        assert_eq!(Line::<10>::new().number(u32::MAX).string(), None, "no room for the NUL");
        assert_eq!(Line::<3>::new().text(b"four").text(b"4").bytes(), None);
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        let not = [&b""[..], b"18446744073709551616", b"-1", b"+1", b" 1", b"1a"];
        assert!(not.into_iter().all(|text| number(text).is_none()));
    }
}
