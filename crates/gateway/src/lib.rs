//! Sans-I/O gateway protocol: frames and environ encodings, used by both ends.
