// swift-tools-version: 6.1
import Foundation
import PackageDescription

// oneDNN is part of the build when its header is installed. CONVOY_ONEDNN=off builds without it in any
// case, and CONVOY_ONEDNN=on with it.
let hasOneDNN =
    switch Context.environment["CONVOY_ONEDNN"] {
    case "off": false
    case "on": true
    default: FileManager.default.fileExists(atPath: "/usr/include/oneapi/dnnl/dnnl.h")
    }

// The decoders of pictures become part of the program, so that hosts need no packages for them and
// all decode alike. Where an archive is missing, the shared library is used.
let libraryDirectories = [
    "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib",
]
func hasArchive(_ name: String) -> Bool {
    libraryDirectories.contains { FileManager.default.fileExists(atPath: "\($0)/lib\(name).a") }
}
// WebP's archive of later versions refers to the one of sharpyuv.
let pictureLibraries =
    ["jpeg", "png16", "webp"].map { hasArchive($0) ? ":lib\($0).a" : $0 }
    + (hasArchive("sharpyuv") ? [":libsharpyuv.a"] : []) + ["z", "m"]

// CONVOY_WERROR=on turns warnings into errors, as CI does.
let strict: [SwiftSetting] =
    Context.environment["CONVOY_WERROR"] == "on" ? [.unsafeFlags(["-warnings-as-errors"])] : []

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")

let package = Package(
    name: "convoy",
    products: [
        .executable(name: "convoy", targets: ["convoy"]),
        .library(name: "NeuralNetwork", targets: ["NeuralNetwork"]),
        .library(name: "Partitions", targets: ["Partitions"]),
        .library(name: "RunFiles", targets: ["RunFiles"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Module maps of C libraries, and C code of our own.
        .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CCrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CLinux"),
        .target(name: "CKernels", linkerSettings: [.linkedLibrary("m")]),
        .target(
            name: "CPictures", linkerSettings: pictureLibraries.map { .linkedLibrary($0) }),

        // Small modules that import no other Swift module of this package.
        .target(name: "CounterRandom", swiftSettings: strict),
        .target(name: "Threads", swiftSettings: strict),
        .target(name: "Checksums", dependencies: ["CCrypto"], swiftSettings: strict),
        .target(name: "Pictures", dependencies: ["CPictures"], swiftSettings: strict),
        .target(name: "SafeTensors", swiftSettings: strict),
        .target(
            name: "StrictYAML", dependencies: [.product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .target(name: "ZeroMQ", dependencies: ["CZeroMQ"], swiftSettings: strict),

        // The computation, and the data that it reads.
        .target(
            name: "NeuralNetwork",
            dependencies: ["CounterRandom", "CKernels", "StrictYAML"], swiftSettings: strict),
        .target(
            name: "Backends", dependencies: ["NeuralNetwork"] + (hasOneDNN ? ["OneDNNBackend"] : []),
            swiftSettings: strict + (hasOneDNN ? [.define("CONVOY_ONEDNN")] : [])),
        .target(
            name: "Partitions",
            dependencies: [
                "CKernels", "CLinux", "CounterRandom", "CZlib", "Checksums", "Pictures", "SafeTensors",
                "Threads",
            ],
            swiftSettings: strict),

        // The decisions of all processes of a cluster, apart from their execution.
        .target(name: "ClusterProtocol", swiftSettings: strict),

        // Memory that threads and processes share, and everything that a run writes. Neither uses
        // sockets.
        .target(
            name: "Buffers", dependencies: ["CKernels", "CLinux", "ClusterProtocol"],
            swiftSettings: strict),
        .target(
            name: "RunFiles",
            dependencies: [
                "Backends", "Buffers", "CLinux", "Checksums", "ClusterProtocol", "NeuralNetwork",
                "Partitions",
                "SafeTensors", "StrictYAML", "Threads", logging,
            ], swiftSettings: strict),
        .target(
            name: "ClusterRuntime",
            dependencies: [
                "Backends", "Buffers", "Checksums", "ClusterProtocol", "CKernels", "CLinux", "NeuralNetwork",
                "Partitions", "RunFiles", "SafeTensors", "StrictYAML", "Threads", "ZeroMQ", logging,
            ], swiftSettings: strict),
        .target(
            name: "ClusterHosts",
            dependencies: [
                "Backends", "CLinux", "Checksums", "ClusterProtocol", "ClusterRuntime", "NeuralNetwork",
                "Partitions", "RunFiles", "Threads", "ZeroMQ",
            ], swiftSettings: strict),
        .target(
            name: "ClusterSimulation", dependencies: ["ClusterProtocol", "CounterRandom"],
            swiftSettings: strict),
        .executableTarget(
            name: "convoy",
            dependencies: [
                "Backends", "Buffers", "ClusterHosts", "ClusterProtocol", "ClusterRuntime", "CounterRandom",
                "NeuralNetwork", "Partitions", "RunFiles", "SafeTensors", "StrictYAML", "Threads", "ZeroMQ",
                logging, .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: strict),

        // Every function that reads foreign bytes, as a closure, for tests and for the fuzzer.
        .target(
            name: "ReaderHarness",
            dependencies: [
                "Buffers", "CZlib", "ClusterHosts", "ClusterProtocol", "ClusterRuntime", "NeuralNetwork",
                "Partitions", "Pictures", "RunFiles", "SafeTensors", "StrictYAML", "ZeroMQ",
            ], path: "Tests/ReaderHarness", swiftSettings: strict),
        .testTarget(
            name: "ReaderTests", dependencies: ["ReaderHarness"], swiftSettings: strict),

        // What several kinds of tests use.
        .target(
            name: "TestSupport",
            dependencies: [
                "Buffers", "ClusterProtocol", "CounterRandom", "NeuralNetwork", "Partitions", "RunFiles",
            ], path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "CounterRandomTests", dependencies: ["CounterRandom"], swiftSettings: strict),
        .testTarget(name: "ZeroMQTests", dependencies: ["ZeroMQ"], swiftSettings: strict),
        .testTarget(name: "StrictYAMLTests", dependencies: ["StrictYAML"], swiftSettings: strict),
        .testTarget(
            name: "PicturesTests", dependencies: ["Checksums", "Pictures"], exclude: ["Golden"],
            swiftSettings: strict),
        .testTarget(name: "SafeTensorsTests", dependencies: ["SafeTensors"], swiftSettings: strict),
        .testTarget(
            name: "PartitionsTests",
            dependencies: [
                "CLinux", "CZlib", "CounterRandom", "Checksums", "Partitions", "Pictures", "SafeTensors",
                "TestSupport",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "NeuralNetworkTests",
            dependencies: [
                "Backends", "NeuralNetwork", "CLinux", "ClusterProtocol", "CounterRandom", "CKernels",
                "StrictYAML",
            ],
            exclude: ["Golden"], swiftSettings: strict),
        .testTarget(
            name: "ChecksumsTests", dependencies: ["Checksums"], swiftSettings: strict),
        .testTarget(name: "ThreadsTests", dependencies: ["Threads"], swiftSettings: strict),
        .testTarget(
            name: "ClusterProtocolTests",
            dependencies: ["ClusterProtocol", "CounterRandom", "TestSupport"],
            exclude: ["Transcripts"], swiftSettings: strict),
        .testTarget(
            name: "RunFilesTests",
            dependencies: [
                "Buffers", "ClusterProtocol", "CounterRandom", "NeuralNetwork", "Partitions", "Pictures",
                "RunFiles",
                "SafeTensors", "TestSupport", "Threads",
            ], swiftSettings: strict),
        .testTarget(
            name: "ClusterRuntimeTests",
            dependencies: [
                "Buffers", "ClusterProtocol", "ClusterRuntime", "CounterRandom", "NeuralNetwork",
                "RunFiles", "TestSupport", "Threads",
            ], swiftSettings: strict),
        .testTarget(
            name: "ClusterHostsTests",
            dependencies: [
                "ClusterHosts", "ClusterProtocol", "ClusterRuntime", "Partitions", "RunFiles",
                "TestSupport", "Threads",
            ], swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Backends", "Buffers", "CKernels", "Checksums", "ClusterHosts", "ClusterProtocol",
                "ClusterRuntime",
                "CounterRandom", "NeuralNetwork", "Partitions", "Pictures", "RunFiles", "SafeTensors",
                "TestSupport", "Threads", "ZeroMQ", "convoy",
            ], swiftSettings: strict),
        .testTarget(
            name: "ClusterSimulationTests",
            dependencies: ["ClusterProtocol", "ClusterSimulation", "CounterRandom", "Threads"],
            swiftSettings: strict),
    ]
        + (hasOneDNN
            ? [
                .target(name: "COneDNN", linkerSettings: [.linkedLibrary("dnnl")]),
                .target(
                    name: "OneDNNBackend", dependencies: ["COneDNN", "CKernels", "NeuralNetwork"],
                    swiftSettings: strict),
            ] : []),
    swiftLanguageModes: [.v6]
)

// CONVOY_FUZZ=on adds the fuzzer. Scripts/bench/fuzz.sh builds it and instruments the whole package.
if Context.environment["CONVOY_FUZZ"] == "on" {
    package.targets += [
        .systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzzing/CLibFuzzer"),
        .executableTarget(
            name: "fuzz", dependencies: ["CLibFuzzer", "ReaderHarness"],
            path: "Tests/Fuzzing/Fuzz", swiftSettings: strict),
    ]
}

// The documentation, by Scripts/docs/docc.sh: nothing else needs the plugin.
if Context.environment["CONVOY_DOCC"] == "on" {
    package.dependencies.append(
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"))
}

// CONVOY_ONLY=NeuralNetwork keeps only the targets that depend on whether oneDNN is installed, for a
// quick build without it.
if Context.environment["CONVOY_ONLY"] == "NeuralNetwork" {
    let wanted = [
        "Backends", "CKernels", "CLinux", "ClusterProtocol", "COneDNN", "CounterRandom", "OneDNNBackend",
        "StrictYAML", "NeuralNetwork", "NeuralNetworkTests",
    ]
    package.products = []
    package.targets.removeAll { !wanted.contains($0.name) }
}
