// A worker of the package whose GPU devices can be destroyed from outside, as a driver's reset would.

const devices = [];
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await request.apply(this, args);
  devices.push(device);
  return device;
};
new BroadcastChannel('gpu').onmessage = () => devices.forEach((device) => device.destroy());

// Messages that come while this module waits are kept for it.
await import('/dist/worker.js');
