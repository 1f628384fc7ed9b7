import ClusterRuntime
import Partitions
import Pictures
import RunFiles
import SafeTensors

/// Readers of tensors and data sets.
extension Reader {
    private static let gzipFiles = ScratchFiles("gzip", ["stream.gz"])
    private static let idxFiles = ScratchFiles(
        "idx", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
        links: [
            "t10k-images-idx3-ubyte": "train-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte": "train-labels-idx1-ubyte",
        ])
    private static let cifarFiles = ScratchFiles(
        "cifar10", ["data_batch_1.bin"], links: ["test_batch.bin": "data_batch_1.bin"])
    private static let partitionFiles = ScratchFiles(
        "partition", [PartitionManifest.fileName, Seeds.partitionFile])
    private static let modelFiles = ScratchFiles("model", ["model.safetensors"])

    static let ofFiles: [Reader] = [
        Reader(
            "safetensors", "SafeTensorsFile: header and tensors", seeds: Seeds.safetensors
        ) { bytes in
            let file = try SafeTensorsFile.parse(Array(bytes))
            for tensor in file.tensors { _ = try? tensor.floats() }
            let written = try ReaderFlaw.reread("safetensors") {
                try SafeTensorsFile.encode(tensors: file.tensors, metadata: file.metadata)
            }
            let again = try ReaderFlaw.reread("safetensors") { try SafeTensorsFile.parse(written) }
            try ReaderFlaw.require(again, equals: file, "file")
            return .taken
        },
        Reader(
            "gzip", "ByteStream: a file that may be compressed", seeds: Seeds.gzip
        ) { bytes in
            try gzipFiles.with([bytes]) { directory in
                let stream = try ByteStream(path: "\(directory)/stream.gz")
                let buffer = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: 64 << 10, alignment: 16)
                defer { buffer.deallocate() }
                var byteCount = 0
                while true {
                    let count = try stream.read(into: buffer)
                    byteCount += count
                    if count < buffer.count { break }
                }
                try ReaderFlaw.require(
                    byteCount <= stream.maximumByteCount,
                    "\(byteCount) bytes came of at most \(stream.maximumByteCount)")
                try stream.finish()
                return .taken
            }
        },
        Reader(
            "idx", "IDXSource: images and labels", seeds: Seeds.idx
        ) { bytes in
            // The first two bytes give the place where the labels begin.
            guard bytes.count >= 2 else { return .refused }
            let cut = min(bytes.count, 2 + Int(bytes[0]) + Int(bytes[1]) << 8)
            let parts = [bytes[2..<max(2, cut)], bytes[max(2, cut)...]]
                .map { UnsafeRawBufferPointer(rebasing: $0) }
            return try idxFiles.with(parts) { directory in
                try describe(.idx(directory: directory))
            }
        },
        Reader(
            "cifar10", "CIFARSource: a batch of records", maximumByteCount: 3 * 3073,
            seeds: Seeds.cifar10
        ) { bytes in
            try cifarFiles.with([bytes]) { directory in
                try describe(.cifar10(directory: directory))
            }
        },
        Reader(
            "manifest", "PartitionManifest: what a partitioned directory holds",
            seeds: Seeds.manifest
        ) { bytes in
            let manifest = try PartitionManifest.parse(Array(bytes), file: "manifest")
            let again = try ReaderFlaw.reread("manifest") {
                try PartitionManifest.parse(Seeds.json(manifest), file: "manifest")
            }
            try ReaderFlaw.require(again, equals: manifest, "manifest")
            // The manifest names paths; whatever they are, nothing outside the directory is opened.
            return partitionFiles.with([bytes, UnsafeRawBufferPointer(start: nil, count: 0)]) {
                _ = try? DataSource.describe(.partitions(directory: $0))
                return .taken
            }
        },
        Reader(
            "catalog", "PartitionCatalog: a data set as a coordinator describes it",
            seeds: Seeds.catalog
        ) { bytes in
            let catalog = try PartitionCatalog.parse(Array(bytes), from: "catalog")
            let again = try ReaderFlaw.reread("catalog") {
                try PartitionCatalog.parse(catalog.json, from: "catalog")
            }
            try ReaderFlaw.require(again, equals: catalog, "catalog")
            for reference in catalog.references.prefix(8) { _ = catalog.sha256(reference) }
            return .taken
        },
        Reader(
            "partition", "PartitionDirectory: a partition's file, as a manifest announces it",
            seeds: Seeds.partition
        ) { bytes in
            let manifest = Seeds.manifest[0]
            return try manifest.withUnsafeBytes { manifest in
                try partitionFiles.with([manifest, bytes]) { directory in
                    _ = try DataSource.describe(.partitions(directory: directory))
                    return .taken
                }
            }
        },
        Reader(
            "picture", "Pictures: a JPEG, PNG or WebP, decoded and resized", seeds: Seeds.picture
        ) { bytes in
            var options = PictureOptions(
                size: .init(height: 5, width: 7), channels: 3, orientation: .apply,
                sixteenBit: .scale, maximumPixelCount: 1 << 16)
            let picture = try Pictures.decode(bytes, options)
            let facts = try ReaderFlaw.reread("picture") { try Pictures.probe(bytes) }
            try ReaderFlaw.require(
                [facts.width, facts.height],
                equals: [picture.facts.width, picture.facts.height], "sides")
            options.channels = 1
            options.fit = .crop
            options.filter = .bicubic
            options.alpha = .white
            let grey = try ReaderFlaw.reread("picture") { try Pictures.decode(bytes, options) }
            try ReaderFlaw.require(grey.pixels.count, equals: 5 * 7, "count of pixels")
            return .taken
        },
        Reader(
            "model", "CheckpointReader: a model with its weights", seeds: Seeds.model
        ) { bytes in
            try modelFiles.with([bytes]) { directory in
                _ = try CheckpointReader.model("\(directory)/model.safetensors")
                return .taken
            }
        },
    ]

    private static func describe(_ specification: DataSpecification) throws -> Outcome {
        let description = try DataSource.describe(specification)
        let set = try ReaderFlaw.reread("\(specification)") {
            try DataSet.open(specification, partitionCount: 1)
        }
        try ReaderFlaw.require(
            set.description.fingerprint, equals: description.fingerprint, "fingerprint")
        return .taken
    }
}
