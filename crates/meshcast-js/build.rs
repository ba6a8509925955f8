//! Has the symbols of Node-API looked up when the addon is loaded.

fn main() {
    napi_build::setup();
}
