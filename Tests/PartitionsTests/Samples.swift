import CZlib
import FoundationEssentials
import Glibc
import Partitions
import TestSupport
import Testing

/// Returns `bytes` in gzip format.
func gzipped(_ bytes: [UInt8]) -> [UInt8] {
    var stream = z_stream()
    var input = bytes
    var output = [UInt8](repeating: 0, count: bytes.count + bytes.count / 100 + 1000)
    let count = input.withUnsafeMutableBufferPointer { input in
        output.withUnsafeMutableBufferPointer { output in
            deflateInit2_(
                &stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size))
            stream.next_in = input.baseAddress
            stream.avail_in = UInt32(input.count)
            stream.next_out = output.baseAddress
            stream.avail_out = UInt32(output.count)
            #expect(deflate(&stream, Z_FINISH) == Z_STREAM_END)
            deflateEnd(&stream)
            return Int(stream.total_out)
        }
    }
    return Array(output[..<count])
}

/// A small IDX data set whose pixels and labels follow from their places.
struct IDXSample {
    var magic = (images: 0x803, labels: 0x801)
    var counts = (training: 23, test: 7)
    var height = 3
    var width = 5
    var classCount = 4

    func pixel(_ record: Int, _ place: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: record &* 31 &+ place &* 7 &+ record / 5)
    }

    func label(_ record: Int) -> UInt8 { UInt8((record * 3 + 1) % classCount) }

    static func word(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    func images(_ count: Int) -> [UInt8] {
        var bytes = [magic.images, count, height, width].flatMap(Self.word)
        for record in 0..<count {
            for place in 0..<height * width { bytes.append(pixel(record, place)) }
        }
        return bytes
    }

    func labels(_ count: Int) -> [UInt8] {
        [magic.labels, count].flatMap(Self.word) + (0..<count).map(label)
    }

    /// Writes the four files; `encode` may compress or damage one.
    func write(
        to directory: TemporaryDirectory, separator: String = "-", ending: String = "",
        encode: (String, [UInt8]) -> [UInt8] = { $1 }
    ) throws {
        for (prefix, count) in [("train", counts.training), ("t10k", counts.test)] {
            for (kind, rank, bytes) in [("images", 3, images(count)), ("labels", 1, labels(count))] {
                let stem = "\(prefix)-\(kind)"
                try directory.write(
                    encode(stem, bytes), "\(stem)\(separator)idx\(rank)-ubyte\(ending)")
            }
        }
    }

    func open(partitionCount: Int = 3) throws -> (TemporaryDirectory, DataSet) {
        let directory = try TemporaryDirectory()
        try write(to: directory)
        let dataSet = try DataSet.open(
            .idx(directory: directory.path), partitionCount: partitionCount)
        return (directory, dataSet)
    }
}

/// Returns a CIFAR-10 batch whose bytes follow from their places.
func cifarBatch(count: Int, salt: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    for record in 0..<count {
        bytes.append(UInt8((record + salt) % 10))
        for place in 0..<3072 {
            bytes.append(UInt8(truncatingIfNeeded: place &* 13 &+ record &* 101 &+ salt))
        }
    }
    return bytes
}

/// Returns the error that `body` throws.
func dataError<Value>(_ body: () throws -> Value) -> DataError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? DataError
    }
}
