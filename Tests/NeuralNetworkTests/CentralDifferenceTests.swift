import NeuralNetwork
import Testing

/// Compares the backward half of every reference layer with central differences of its forward
/// half, in Double.
@Suite struct CentralDifferenceTests {
    struct Case: CustomTestStringConvertible {
        let testDescription: String
        let inputShape: [Int]
        let layers: [LayerSpecification]
        var mode = ReferenceMode.inference
    }

    static let three = Size2D(3)
    static let wide = Size2D(height: 2, width: 3)
    static let cases = [
        Case(
            testDescription: "convolution", inputShape: [2, 5, 6],
            layers: [.conv2D(filters: 3, kernel: three)]),
        Case(
            testDescription: "convolution, strides, same padding", inputShape: [2, 7, 6],
            layers: [.conv2D(filters: 3, kernel: wide, stride: Size2D(2), padding: .same)]),
        Case(
            testDescription: "convolution, ReLU", inputShape: [1, 5, 5],
            layers: [.conv2D(filters: 4, kernel: three, activation: .relu)]),
        Case(
            testDescription: "pool", inputShape: [2, 6, 4],
            layers: [.maxPool2D(size: Size2D(2), stride: Size2D(2))]),
        Case(
            testDescription: "pool, overlapping, same padding", inputShape: [2, 7, 6],
            layers: [.maxPool2D(size: three, stride: Size2D(2), padding: .same)]),
        Case(
            testDescription: "dense", inputShape: [2, 3, 3], layers: [.flatten, .dense(units: 5)]),
        Case(
            testDescription: "dense, ReLU", inputShape: [1, 3, 3],
            layers: [.flatten, .dense(units: 9, activation: .relu)]),
        Case(testDescription: "ReLU", inputShape: [2, 4, 3], layers: [.relu]),
        Case(
            testDescription: "dropout", inputShape: [2, 4, 5], layers: [.dropout(rate: 0.4)],
            mode: .training(epoch: 2, record: 5)),
        Case(
            testDescription: "a whole network", inputShape: [2, 9, 8],
            layers: [
                .conv2D(filters: 4, kernel: three, activation: .relu),
                .maxPool2D(size: Size2D(2), stride: Size2D(2)),
                .conv2D(filters: 3, kernel: Size2D(2), padding: .same), .relu, .flatten,
                .dropout(rate: 0.3), .dense(units: 4),
            ], mode: .training(epoch: 1, record: 9)),
    ]

    @Test(arguments: cases)
    func backwardIsTheDerivativeOfForward(_ example: Case) throws {
        let network = try Network(
            ModelSpecification(
                name: "model", inputShape: example.inputShape, layers: example.layers))
        let reference = ReferenceNetwork<Double>(network: network, seed: 11)
        var parameters = GoldenInput.parameters(network).map(Double.init)
        var image = GoldenInput.values(network.inputElementCount, salt: 1).map(Double.init)
        let factors = GoldenInput.values(network.outputElementCount, salt: 3).map(Double.init)
        /// A number whose derivatives are the gradients for the output gradient `factors`.
        func objective() -> Double {
            let output = reference.output(
                parameters: parameters, image: image, mode: example.mode)
            return zip(output, factors).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let found = reference.gradients(
            parameters: parameters, image: image, outputGradient: factors, mode: example.mode)
        let width = 1e-6
        func expect(_ found: Double, _ change: (Double) -> Void, _ what: String) {
            change(width)
            let above = objective()
            change(-2 * width)
            let below = objective()
            change(width)
            let expected = (above - below) / (2 * width)
            #expect(
                abs(found - expected) <= 1e-8 + 1e-7 * abs(expected),
                "\(what): backward gives \(found), differences give \(expected)")
        }
        for index in image.indices {
            expect(found.input[index], { image[index] += $0 }, "input \(index)")
        }
        for index in parameters.indices {
            expect(found.parameters[index], { parameters[index] += $0 }, "parameter \(index)")
        }
        #expect(found.input.contains { $0 != 0 })
    }
}
