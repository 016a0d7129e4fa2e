//! The integration tests of Kohorta; see `tests/it`.
