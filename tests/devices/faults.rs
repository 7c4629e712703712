//! Failing and cancelled devices: the result is an error, soon, and nothing worse.

use std::sync::mpsc;
use std::time::Duration;

use cloze::block_on;
use cloze::checkpoint::{Checkpoint, Head};
use cloze::device::{Cancel, Device, Gpu};
use cloze::model::Model;

use crate::models::golden::Expected;
use crate::support::devices::{all_adapters, for_each_device};
use crate::support::fixture;

fn model(device: impl Into<std::sync::Arc<Device>>) -> (Model, Expected) {
    let dir = fixture("encoder/tiny");
    let checkpoint = Checkpoint::open(&dir).expect("a model");
    let model = Model::load(checkpoint, Head::QuestionAnswering, device).expect("it loads");
    (model, Expected::read(&dir.join("expected.safetensors")))
}

/// After a device is lost, every call reports that, and none hangs.
#[test]
fn a_lost_device_is_an_error() {
    for adapter in all_adapters() {
        let name = adapter.get_info().name;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let gpu = Box::new(block_on(Gpu::open(&adapter, Default::default())).expect("an adapter opens"));
            let (model, expected) = model(Device::Gpu(gpu));
            block_on(model.forward(&expected.batch, &Cancel::new())).expect("it runs");
            let Device::Gpu(gpu) = model.device() else { unreachable!("a GPU was opened") };
            gpu.destroy();
            let codes =
                [0, 1].map(|_| block_on(model.forward(&expected.batch, &Cancel::new())).map_err(|e| e.code()).err());
            sender.send(codes).expect("the test waits");
        });
        let codes = receiver.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(codes, [Some("device_lost"); 2], "{name}");
    }
}

/// A cancelled forward pass reports that, and does not affect the next one.
#[test]
fn a_cancelled_forward_is_an_error_and_leaves_the_model_whole() {
    for_each_device(|test| {
        let (model, expected) = model(test.device.clone());
        let cancel = Cancel::new();
        let known = block_on(model.forward(&expected.batch, &cancel)).expect("it runs");
        cancel.cancel();
        let error = block_on(model.forward(&expected.batch, &cancel)).expect_err("it was cancelled");
        assert_eq!(error.code(), "cancelled", "{}", test.name);
        let again = block_on(model.forward(&expected.batch, &Cancel::new())).expect("it runs");
        assert_eq!(known, again, "{}", test.name);
    });
}
