// Lets the GPU devices of a page or worker be destroyed from outside, as a driver's reset would.

{
  const devices = [];
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    devices.push(device);
    return device;
  };
  new BroadcastChannel('gpu').onmessage = () => devices.forEach((device) => device.destroy());
}
