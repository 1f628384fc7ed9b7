import CZlib
import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import Partitions
import RunFiles
import SafeTensors

/// Good inputs, made by the package's own writers where it has them.
enum Seeds {
    static func json(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return try [UInt8](encoder.encode(value)) } catch {
            preconditionFailure("a plain value did not encode: \(error)")
        }
    }

    private static func text(_ text: String) -> [UInt8] { Array(text.utf8) }

    // MARK: Files

    static let safetensors: [[UInt8]] = {
        let floats = SafeTensor(name: "conv1.weight", shape: [2, 2], floats: [1, -2, 0.5, .nan])
        let labels = SafeTensor(name: "labels", shape: [3], int32s: [0, 1, 2])
        let halves = SafeTensor(name: "h", dataType: .F16, shape: [2, 1], bytes: [0, 60, 1, 0])
        let empty = SafeTensor(name: "\"\\\u{1F600}", dataType: .BF16, shape: [0], bytes: [])
        return [
            file([floats], ["format": "pt"]), file([floats, labels, halves, empty], [:]),
            file([], [:]),
        ]
    }()

    private static func file(
        _ tensors: [SafeTensor], _ metadata: [String: String]
    ) -> [UInt8] {
        do { return try SafeTensorsFile.encode(tensors: tensors, metadata: metadata) } catch {
            preconditionFailure("\(error)")
        }
    }

    static let gzip: [[UInt8]] = [
        gzipped(Array("Convoy".utf8)), gzipped([UInt8](repeating: 7, count: 3000)),
        gzipped([1]) + gzipped([]), Array("plain".utf8),
    ]

    private static func gzipped(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        var input = bytes
        var output = [UInt8](repeating: 0, count: bytes.count + 1000)
        let count = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                deflateInit2_(
                    &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                    Int32(MemoryLayout<z_stream>.size))
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                let status = deflate(&stream, Z_FINISH)
                precondition(status == Z_STREAM_END, "deflate ended with \(status)")
                deflateEnd(&stream)
                return Int(stream.total_out)
            }
        }
        return Array(output[..<count])
    }

    static let idx: [[UInt8]] = {
        func word(_ value: Int) -> [UInt8] {
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
        }
        func both(_ images: [UInt8], _ labels: [UInt8]) -> [UInt8] {
            [UInt8(images.count & 255), UInt8(images.count >> 8)] + images + labels
        }
        let images = [0x803, 3, 2, 2].flatMap(word) + (0..<12).map { UInt8($0) }
        let labels = [0x801, 3].flatMap(word) + [0, 2, 1]
        return [
            both(images, labels), both(gzipped(images), gzipped(labels)),
            both(images, gzipped(labels)),
        ]
    }()

    static let cifar10: [[UInt8]] = [
        [3] + [UInt8](repeating: 9, count: 3072),
        [9] + [UInt8](repeating: 1, count: 3072) + [0] + [UInt8](repeating: 2, count: 3072),
    ]

    static let partitionFile = "part-0.safetensors"
    private static let records = 3

    static let manifest: [[UInt8]] = {
        let entry =
            #"{"file":"\#(partitionFile)","histogram":[1,2],"records":\#(records),"sha256":""#
            + String(repeating: "0a", count: 32) + #""}"#
        return [
            text(
                #"{"classes":2,"dtype":"U8","format":"convoy-partitions","name":"sample","#
                    + #""shape":[1,2,2],"test":[\#(entry)],"training":[\#(entry)],"version":1}"#),
            text(
                #"{"dtype":"F32","format":"convoy-partitions","name":"sample","shape":[1,2,2],"#
                    + #""targets":3,"test":[],"training":[{"file":"a","records":2,"sha256":""#
                    + String(repeating: "0a", count: 32) + #""}],"version":1}"#),
        ]
    }()

    static let partition: [[UInt8]] = [
        file(
            [
                SafeTensor(
                    name: "labels", shape: [records], int32s: [0, 1, 1]),
                SafeTensor(
                    name: "images", dataType: .U8, shape: [records, 1, 2, 2],
                    bytes: [UInt8](repeating: 5, count: records * 4)),
            ], [:])
    ]

    static let catalog: [[UInt8]] = {
        let description = DataSetDescription(
            name: "sample", shape: [1, 2, 2], classCount: 2, classHistogram: [1, 2],
            trainingCount: records, testCount: records, elementType: .U8, fingerprint: "f")
        let front = #"{"description":"# + String(decoding: json(description), as: UTF8.self)
        return [text(front + #","manifest":"#) + manifest[0] + text("}")]
    }()

    static let model: [[UInt8]] = {
        func model(_ yaml: String, _ transformations: String?) -> [UInt8] {
            var metadata = ["model_file": yaml, "model": "tiny", "format": "pt"]
            metadata["transformations"] = transformations
            return file(
                [
                    SafeTensor(
                        name: "dense1.weight", shape: [2, 4],
                        floats: Array(repeating: 0.5, count: 8)),
                    SafeTensor(name: "dense1.bias", shape: [2], floats: [1, 2]),
                ], metadata)
        }
        let yaml = "input: [1, 2, 2]\nlayers:\n  - flatten: {}\n  - dense: {units: 2}\n"
        return [
            model(yaml, nil),
            model(
                yaml,
                #"[{"randomCrop":{"padding":1}},{"standardize":{"deviation":[1],"mean":[0]}}]"#),
        ]
    }()

    // MARK: Settings

    static let yaml = [
        "a: 1\nb: [x, 2.5, true]\nc: {d: \"text\", e: ~}\n", "",
        "a: 'it''s'\nb: |\n  line\n  line\n",
        "a:\r\n  - b: c\r\n  - \"\\u00e9\\x41\"\r\n",
        "? plain\n: value\n# note\nlist:\n- - 1\n  - -2e3\n",
    ].map(text)

    static let runFile: [[UInt8]] = {
        var configuration = RunConfiguration()
        configuration.data.source = "partitions:/data/\"x\"\n"
        configuration.data.transformations = [
            .standardize(mean: [0.5], deviation: [0.25]), .randomCrop(padding: 4),
        ]
        configuration.training.steps = 7
        configuration.initial.file = "é\u{1F600}"
        configuration.cluster.fanIn = 0
        return [
            text(RunConfiguration().yaml), text(configuration.yaml),
            text(
                "model:\n  name: m\n  input: [1, 28, 28]\n  layers:\n    - flatten\n"
                    + "    - dense: {units: 10}\n"),
        ]
    }()

    static let modelFile = [
        "input: [3, 32, 32]\nlayers:\n  - conv2d: {filters: 8, kernel: 3, padding: same}\n"
            + "  - relu\n  - max-pool2d: {size: [2, 2], stride: 2}\n  - flatten\n"
            + "  - dropout: {rate: 0.5}\n  - dense: {units: 10, activation: relu}\n",
        "input: [1, 2, 2]\nlayers: [flatten, {dense: {units: 2, initializer: glorot-uniform}}]\n",
    ].map(text)

    static let clusterFile = [
        "# hosts\nhead coordinator,worker workers=2 threads=4 port=5555\n"
            + "node-1 server,worker user=me address=10.0.0.2 directory=/srv/convoy servers=2\n",
        "a coordinator\r\nb worker\r\n", "[::1] coordinator,worker\n",
        "::1\tcoordinator,worker # all\n",
    ].filter { !$0.hasPrefix("[") }.map(text)

    // MARK: Records of a run

    static let ledger = [
        (0..<4).map { LedgerEntry(step: $0, epoch: 0, records: 4, digest: .max).line + "\n" }
            .joined()
    ].map(text)

    static let journal: [[UInt8]] = {
        let worker = Cluster.workers[0]
        let joined = JournalEntry.joined(
            peer: worker, role: .worker, host: "host", processIdentifier: 7)
        let evaluated = JournalEntry.evaluated(
            .init(
                step: Step(4), recordCount: 20, correctCount: 3, lossSum: 40.5, trainingSeconds: 2))
        let begun: [JournalEntry] = [
            .started(run: Cluster.run, step: Step(0)), .settled(instructionSet: "avx2"), joined,
            .placed(
                placement: Placement(1), step: Step(0), hosts: [Cluster.server, Cluster.server]),
            .assigned(
                generation: Generation(3),
                virtualWorkers: ["worker 1": [0, 1].map(VirtualWorkerIndex.init)]),
            .limit(Step(4), trainingSeconds: 0.5),
        ]
        return [
            journal(begun),
            journal(
                begun + [evaluated, .checkpoint(Step(4)), .limit(Step(8), trainingSeconds: 3)]),
            journal(begun + [.tookOver, .lost(peer: worker, reason: "left"), .resumed(Step(0))]),
            journal(begun + [.finished(step: Step(8), exitCode: 0), .checkpoint(Step(8))]),
        ]
    }()

    private static func journal(_ entries: [JournalEntry]) -> [UInt8] {
        entries.enumerated().flatMap { index, entry in
            json(JournalLine(time: 1_799_999_990 + Double(index), entry: entry)) + text("\n")
        }
    }

    static let summary = [
        #"{"steps": 938, "epochs": 1, "exit_code": 0, "reason": "finished", "#
            + #""weights_sha256": "0a", "test_accuracy": 0.91, "images_per_second": 1234.5}"#,
        #"{"steps":0,"exit_code":69,"reason":"lost","weights_sha256":"","test_accuracy":null}"#,
    ].map(text)

    static let checkpointState = [
        #"{"format":"convoy-checkpoint","version":1,"step":3,"epoch":0,"step_in_epoch":3,"#
            + #""model":"cnn","model_fingerprint":"m","data_fingerprint":"d","optimizer":"adam","seed":1,"#
            + #""batch_size":64,"virtual_workers":4,"backend":"native","instruction_set":"avx2","#
            + #""precision":"fp32","wire_precision":"bf16","weights_sha256":"0a","#
            + #""files":{"model.safetensors":{"bytes":9,"sha256":"0b"}}}"#
    ].map(text)

    static let hostReport: [[UInt8]] = [
        json(
            HostReport(
                hostName: "höst", build: "b", coreCount: 4, memoryByteCount: 1 << 33,
                availableByteCount: 1 << 32, backends: ["native"], instructionSet: "avx2",
                begunAt: 1, endedAt: 2, entropyBits: 256,
                interfaces: [.init(name: "eth0", address: "10.0.0.1")],
                lookups: [.init(name: "h", addresses: ["10.0.0.1"])],
                binds: [.init(address: "10.0.0.1", port: 5555, trouble: .portInUse)],
                connections: [.init(address: "10.0.0.2", port: 5555, trouble: .other("?"))],
                directory: .init(path: "/srv", isWritable: true, freeByteCount: 1 << 30),
                data: .init(specification: "idx:/d", fingerprint: "f", byteCount: 1 << 20)))
    ]
}
