import Checksums
import CounterRandom
import Partitions
import SafeTensors
import TestSupport

/// A small partitioned data set of images of any shape, as bytes or as floats.
struct StoredSample {
    var shape = [3, 7, 9]
    var counts = [11, 12]
    var testCount = 5
    var isBytes = true
    var classCount = 4
    /// The image of all records; nil for images of their own.
    var picture: [UInt8]?

    var elementCount: Int { shape.reduce(1, *) }
    var recordCount: Int { counts.reduce(0, +) }

    func label(_ record: Int) -> Int32 { Int32((record * 3 + 1) % classCount) }

    func byte(_ record: Int, _ place: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: mix64(UInt64(record << 20 | place)))
    }

    func float(_ record: Int, _ place: Int) -> Float { Float(byte(record, place)) / 64 - 2 }

    func bytes(_ record: Int) -> [UInt8] {
        picture ?? (0..<elementCount).map { byte(record, $0) }
    }

    func floats(_ record: Int) -> [Float] {
        (0..<elementCount).map { isBytes ? Float(byte(record, $0)) / 255 : float(record, $0) }
    }

    /// Writes and opens the set. Test records are numbered on after the training records.
    func open() throws -> (TemporaryDirectory, DataSet) {
        let directory = try TemporaryDirectory()
        var lists: [[String]] = [[], []]
        var first = 0
        for (index, count) in (counts + [testCount]).enumerated() {
            let records = first..<first + count
            let images =
                isBytes
                ? SafeTensor(
                    name: "images", dataType: .U8, shape: [count] + shape,
                    bytes: records.flatMap(bytes))
                : SafeTensor(
                    name: "images", shape: [count] + shape, floats: records.flatMap(floats))
            // The wider type comes first.
            let file = try SafeTensorsFile.encode(tensors: [
                SafeTensor(name: "labels", shape: [count], int32s: records.map(label)), images,
            ])
            try directory.write(file, "part-\(index).safetensors")
            var histogram = [Int](repeating: 0, count: classCount)
            for record in records { histogram[Int(label(record))] += 1 }
            lists[index == counts.count ? 1 : 0].append(
                #"{"file": "part-\#(index).safetensors", "records": \#(count), "#
                    + #""histogram": \#(histogram), "#
                    + #""sha256": "\#(hexadecimal(SHA256.hash(data: file)))"}"#)
            first += count
        }
        let manifest = """
            {"version": 1, "format": "convoy-partitions", "name": "stored", "classes": \(classCount),
             "dtype": "\(isBytes ? "U8" : "F32")", "shape": \(shape),
             "training": [\(lists[0].joined(separator: ", "))],
             "test": [\(lists[1].joined(separator: ", "))]}
            """
        try directory.write(Array(manifest.utf8), "manifest.json")
        let dataSet = try DataSet.open(
            .partitions(directory: directory.path), partitionCount: 1)
        return (directory, dataSet)
    }
}

/// A transformation that is known to be right.
func made(_ name: String, _ values: [String: TransformationValue] = [:]) throws -> Transformation {
    try Transformation(name, values)
}

/// The random numbers of a record at a place in the list, as the documents define them.
func stream(_ key: AugmentationKey, _ record: Int, place: Int = 0, lasting: Bool = false)
    -> RandomStream
{
    let first = lasting ? 1 << 63 : UInt64(key.epoch)
    return RandomStream(
        seed: key.seed, purpose: .augmentation, first ^ UInt64(place) << 40, UInt64(record))
}
