//! Bytes as steps: any bytes are some script.

use std::time::Duration;

/// What a script reads its choices from. Past the end all choices are 0.
pub(super) struct Script<'a>(&'a [u8]);

/// One step, with the bytes its choices are made of.
pub(super) struct Step<'a> {
    pub(super) kind: u8,
    choices: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// A kind, a length of up to 63, and so many bytes of choices.
    pub(super) fn next(&mut self) -> Option<Step<'a>> {
        let (kind, rest) = self.0.split_first()?;
        let (len, rest) = rest.split_first().unwrap_or((&0, rest));
        let (choices, rest) = rest.split_at(rest.len().min(usize::from(len % 64)));
        self.0 = rest;
        Some(Step {
            kind: *kind,
            choices,
        })
    }
}

impl<'a> Step<'a> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.choices.split_first() else {
            return 0;
        };
        self.choices = rest;
        *byte
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// A number of things, most often few, sometimes as many as there may be.
    pub(super) fn amount(&mut self, most: usize) -> usize {
        match self.byte() {
            byte @ 0..=199 => usize::from(byte % 8).min(most),
            byte @ 200..=239 => usize::from(byte).min(most),
            _ => most,
        }
    }

    /// A number of a record: low ones, and those at which arithmetic goes wrong.
    pub(super) fn number(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        match byte {
            0..=159 => 1 + byte % 32,
            160..=191 => 1 + (byte << 8),
            192..=207 => (1 << 60) + byte,
            208..=223 => (1 << 63) - 208 + byte,
            _ => u64::MAX - (255 - byte),
        }
    }

    pub(super) fn duration(&mut self) -> Duration {
        let byte = u32::from(self.byte());
        match byte {
            0..=127 => Duration::from_millis(u64::from(byte)),
            128..=223 => Duration::from_millis(u64::from(byte) * 50),
            224..=253 => Duration::from_secs(u64::from(byte)),
            254 => Duration::from_secs(1 << 40),
            _ => Duration::MAX,
        }
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.choices)
    }
}
