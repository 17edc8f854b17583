//! [`Tail`]: the end of a text of any length.

/// Keeps the last [`MOST`](Self::MOST) bytes of what it is fed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    /// Whether something in front of them was dropped.
    is_cut: bool,
}

impl Tail {
    pub(crate) const MOST: usize = 16 * 1024;

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(Self::MOST)..];
        self.is_cut |= kept.len() < bytes.len();
        self.bytes.extend_from_slice(kept);
        // Not each time: a byte at the front costs a move of all others.
        if self.bytes.len() > 4 * Self::MOST {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let over = self.bytes.len().saturating_sub(Self::MOST);
        self.is_cut |= over > 0;
        self.bytes.drain(..over);
    }

    /// It as text, from the start of a character.
    pub(crate) fn into_text(mut self) -> String {
        self.cut();
        let is_inside = |byte: &&u8| (0x80..0xc0).contains(*byte);
        let inside = if self.is_cut { self.bytes.iter().take(3).take_while(is_inside).count() } else { 0 };
        String::from_utf8_lossy(&self.bytes[inside..]).into_owned()
    }
}
