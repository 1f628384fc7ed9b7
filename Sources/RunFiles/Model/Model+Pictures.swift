import ClusterProtocol
import NeuralNetwork
import Partitions
import Pictures

/// Prediction on the files of pictures.
extension Model {
    /// Predicts the classes of pictures, each prepared as the pictures of the training were.
    ///
    /// - Parameters:
    ///   - files: the pictures, JPEG, PNG or WebP.
    ///   - computation: how to compute.
    ///   - found: receives the number of each file in the list, and its prediction or the reason why
    ///     it cannot be decoded, in the order of the list.
    /// - Throws: `.model` for a model that was not trained on pictures, or has no classes;
    ///   `.configuration` for a backend that is not available.
    public func predict(
        _ files: FileList, _ computation: Computation = Computation(),
        found: (Int, Result<Prediction, RunError>) -> Void
    ) throws(RunError) {
        try requireClasses()
        guard let image = input.image, let size = image.picture.size,
            let channels = image.picture.channels
        else {
            throw .model(
                "expected a model that was trained on pictures, found one of records of shape "
                    + "\(network.specification.inputShape); predict records with --data and --record")
        }
        let shape = [channels, size.height, size.width]
        let preparation = try preparation(shape: shape)
        let engine = try engine(computation)
        let reader = PictureReader(image.picture, shape: shape, example: "")
        var contents: [UInt8] = []
        var pixels = [UInt8](repeating: 0, count: shape.reduce(1, *))
        let batch = 64
        for start in stride(from: 0, to: files.count, by: batch) {
            let range = start..<min(files.count, start + batch)
            var images: [Float] = []
            var outcomes: [RunError?] = []
            for index in range {
                do throws(DataError) {
                    let file = try files.open(index)
                    try file.readAll(into: &contents, limit: PictureReader.maximumByteCount)
                    let result = contents.withUnsafeBytes { bytes in
                        pixels.withUnsafeMutableBytes { pixels in
                            Result { () throws(DataError) in
                                try reader.decode(
                                    UnsafeRawBufferPointer(rebasing: bytes[..<file.byteCount]),
                                    file: file.name, into: pixels.baseAddress!)
                            }
                        }
                    }
                    try result.get()
                    images += preparation.prepared(pixels.map { Float($0) / 255 })
                    outcomes.append(nil)
                } catch {
                    outcomes.append(RunError(error))
                }
            }
            let count = outcomes.count { $0 == nil }
            let outputs = count > 0 ? engine.outputs(images: images, count: count) : []
            let width = network.outputElementCount
            var next = 0
            for (index, outcome) in zip(range, outcomes) {
                if let outcome {
                    found(index, .failure(outcome))
                    continue
                }
                found(index, .success(prediction(Array(outputs[next * width..<(next + 1) * width]))))
                next += 1
            }
        }
    }
}
