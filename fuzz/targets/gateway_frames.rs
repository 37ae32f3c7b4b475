//! Frames from a worker. Not built yet: it needs `gwanmun-gateway` in Cargo.toml and a `[[bin]]` entry there.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // Feed `data` to gwanmun_gateway::frame::FrameReader whole and split, and compare.
    let _ = data;
});
