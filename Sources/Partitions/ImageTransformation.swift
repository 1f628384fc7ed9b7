import CounterRandom

/// The elements that a kind of transformations works on.
enum TransformationElements {
    /// Bytes before the images are scaled, and floats after that.
    case bytesOrFloats
    /// Bytes only: it must stand before everything that works on floats.
    case bytes
    /// Floats only: bytes are scaled by 1/255 before it.
    case floats
}

/// A kind of transformations: its parameters, its rule of shapes, and what it does to an image.
///
/// A new kind is one type that conforms to this protocol, and one line in
/// ``TransformationRegistry``. Run files, checkpoints, help and documents know it from there.
///
/// Determinism: what a kind does is a function of the image, its parameters and the random numbers
/// of its `RecordKey`. It uses no function of the host's C library.
protocol ImageTransformation: Sendable {
    /// The name in a run file, for instance "random-crop".
    static var name: String { get }
    /// What it does, in one sentence.
    static var summary: String { get }
    /// Its parameters, in the order in which they are written.
    static var parameters: [TransformationParameter] { get }
    /// The elements that it works on.
    static var elements: TransformationElements { get }
    /// Whether it draws random numbers.
    static var isRandom: Bool { get }
    /// Whether it changes test records too. Without a `RecordKey` it then does what it does to
    /// them.
    static var actsOnTestRecords: Bool { get }

    /// Creates the transformation. Each value fits its declaration.
    init(_ values: TransformationValues)

    /// Returns the shape [C, H, W] of an image of the given shape after the transformation.
    ///
    /// - Throws: `badSetting` when the transformation does not fit such images.
    func outputShape(of shape: [Int]) throws(DataError) -> [Int]

    /// Changes an image of bytes. The key is nil for a test record.
    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?)

    /// Changes an image of floats. The key is nil for a test record.
    func apply(to image: inout Canvas<Float>, _ key: RecordKey?)
}

extension ImageTransformation {
    static var parameters: [TransformationParameter] { [] }
    static var elements: TransformationElements { .bytesOrFloats }
    static var isRandom: Bool { true }
    static var actsOnTestRecords: Bool { !isRandom }

    func outputShape(of shape: [Int]) throws(DataError) -> [Int] { shape }

    func apply(to image: inout Canvas<UInt8>, _ key: RecordKey?) {
        preconditionFailure("\(Self.name) on bytes")
    }

    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        preconditionFailure("\(Self.name) on floats")
    }

    /// The name of the kind in a checkpoint: "randomCrop".
    static var codingName: String {
        let words = name.split(separator: "-")
        return words[0]
            + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    /// Returns the error for a parameter that does not fit the images.
    static func unfit(_ what: String, expected: String, found: String) -> DataError {
        DataError(.badSetting, file: name, what: what, expected: expected, found: found)
    }
}

/// A transformation of each element by itself. Directly after the scaling of bytes it is part of
/// the table by which they are scaled.
protocol ElementwiseTransformation: ImageTransformation {
    /// Returns an element of a channel after the transformation.
    func value(_ value: Float, channel: Int) -> Float
}

/// A transformation that mixes each image with another one of its microbatch, and its label with
/// the other one's label.
protocol MixingTransformation: ImageTransformation {
    /// The probability that a record is mixed at all.
    var probability: Double { get }

    /// Mixes an image with its partner, which has the same shape.
    ///
    /// - Returns: the weight of the image's own label, from 0 to 1.
    func mix(
        _ image: inout Canvas<UInt8>, with partner: UnsafePointer<UInt8>,
        _ random: inout RandomStream
    ) -> Float

    /// Mixes an image with its partner, which has the same shape.
    ///
    /// - Returns: the weight of the image's own label, from 0 to 1.
    func mix(
        _ image: inout Canvas<Float>, with partner: UnsafePointer<Float>,
        _ random: inout RandomStream
    ) -> Float
}

extension ElementwiseTransformation {
    func apply(to image: inout Canvas<Float>, _ key: RecordKey?) {
        for channel in 0..<image.channels {
            let plane = image.pixels + channel * image.area
            for index in 0..<image.area {
                plane[index] = value(plane[index], channel: channel)
            }
        }
    }
}
