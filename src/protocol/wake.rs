//! What wakes a command that stays (`collect`, `factory` and `inbox` with `--watch`): each looks again when told, and from
//! time to time.

/// What a command that stays is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Something may have happened on the hub.
    Hint,
    /// What is under way is the last.
    Stop,
}
