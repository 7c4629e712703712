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
    (name = "worker", esModule = embed "worker.bundle.js"),
    (name = "cloze/cloze.wasm", wasm = embed "../node_modules/cloze/dist/wasm/cloze_bg.wasm"),
  ],
  compatibilityDate = "2026-11-01",
  bindings = [
    (name = "FILES", service = "files"),
    (name = "MODEL", durableObjectNamespace = "Model"),
  ],
  durableObjectNamespaces = [(className = "Model", uniqueKey = "model", preventEviction = true)],
  durableObjectStorage = (inMemory = void),
);
