{
  # The second way to build the addon; CMakeLists.txt is the first. test/house compares the source lists.
  "targets": [
    {
      "target_name": "dualmap_core",
      "sources": [
        "native/addon.cc",
        "native/addon_core.cc",
        "native/addon_explain.cc",
        "native/addon_fleet.cc",
        "native/addon_upstream.cc",
        "native/core/bare_scan.cc",
        "native/core/baselines.cc",
        "native/core/baselines_scored.cc",
        "native/core/canonical_json.cc",
        "native/core/core.cc",
        "native/core/core_waiting.cc",
        "native/core/fleet_state.cc",
        "native/core/hotness.cc",
        "native/core/policy.cc",
        "native/core/prefix_index.cc",
        "native/core/prompt.cc",
        "native/core/queue_claims.cc",
        "native/core/queue_moves.cc",
        "native/core/queue_peers.cc",
        "native/core/queues.cc",
        "native/core/recent_work.cc",
        "native/core/reservation.cc",
        "native/core/rings.cc",
        "native/core/simdjson.cc",
        "native/core/token_ratios.cc",
        "native/core/usage.cc",
        "native/upstream/client.cc",
        "native/upstream/client_connections.cc",
        "native/upstream/connection.cc",
        "native/upstream/origin.cc",
        "native/upstream/outbox.cc",
        "native/upstream/response_parser.cc",
        "native/upstream/socket.cc"
      ],
      "include_dirs": [
        "native",
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "node_modules/@nozbe/simdjson/src",
        "node_modules/xxhash-addon/xxHash"
      ],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "SIMDJSON_EXCEPTIONS=0"],
      "cflags": ["-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions"],
      "cflags_cc!": ["-std=gnu++17", "-fno-rtti"],
      "xcode_settings": { "CLANG_CXX_LANGUAGE_STANDARD": "c++20" },
      "conditions": [
        ["target_arch=='x64'", { "cflags": ["-march=x86-64-v3"] }],
        ["OS=='linux'", { "ldflags": ["-Wl,-Bsymbolic", "-Wl,--exclude-libs,ALL"] }]
      ]
    }
  ]
}
