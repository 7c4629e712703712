using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    # Weights are streamed from here: a `data` binding would be a second copy of them in memory.
    (name = "files", disk = (path = "../node_modules/cloze/dist/model")),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [
    (name = "worker", esModule = embed "workerd.bundle.js"),
    (name = "cloze/cloze.wasm", wasm = embed "../node_modules/cloze/dist/wasm/cloze_bg.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  # Who goes away is heard of, and what was asked is stopped.
  compatibilityFlags = ["enable_request_signal"],
  bindings = [
    (name = "FILES", service = "files"),
    (name = "SERVICE", durableObjectNamespace = "Service"),
  ],
  durableObjectNamespaces = [(className = "Service", uniqueKey = "service", preventEviction = true)],
  durableObjectStorage = (inMemory = void),
);
