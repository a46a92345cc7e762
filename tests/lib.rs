//! Shared set-up of the integration and window tests.
