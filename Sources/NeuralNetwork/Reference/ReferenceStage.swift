/// Whether dropout drops elements, and for which record.
public enum ReferenceMode: Sendable, Hashable {
    /// Dropout drops nothing.
    case inference
    /// Dropout drops elements by the mask of this epoch and this record, given by its global
    /// number.
    case training(epoch: Int, record: UInt64)
}

/// One computation of the reference network: a layer, or the activation that follows it.
enum ReferenceLayer<Scalar: ReferenceScalar> {
    case conv2D(ReferenceConv2D<Scalar>)
    case maxPool2D(ReferenceMaxPool2D<Scalar>)
    case dense(ReferenceDense<Scalar>)
    case relu(ReferenceReLU<Scalar>)
    case dropout(ReferenceDropout<Scalar>)

    var scratchCount: Int {
        switch self {
        case .conv2D(let layer): layer.scratchCount
        case .dropout(let layer): layer.scratchCount
        default: 0
        }
    }
}

/// A reference layer with the places of its input, output and scratch memory, all in elements.
struct ReferenceStage<Scalar: ReferenceScalar> {
    let layer: ReferenceLayer<Scalar>
    let inputOffset: Int
    let outputOffset: Int
    let outputCount: Int
    let scratchOffset: Int

    /// Returns the stages of a network. Flatten needs no stage, because values are stored in C, H,
    /// W order already.
    static func plan(_ network: Network, seed: UInt64) -> [ReferenceStage] {
        var stages: [ReferenceStage] = []
        var offset = 0
        var scratchOffset = 0
        var width = network.inputElementCount
        func append(_ layer: ReferenceLayer<Scalar>, _ outputCount: Int) {
            stages.append(
                ReferenceStage(
                    layer: layer, inputOffset: offset, outputOffset: offset + width,
                    outputCount: outputCount, scratchOffset: scratchOffset))
            offset += width
            width = outputCount
            scratchOffset += layer.scratchCount
        }
        for layer in network.layers {
            let count = layer.outputElementCount
            switch layer.specification {
            case .conv2D(_, _, _, _, let activation, _):
                append(.conv2D(ReferenceConv2D(layer, network.parameters)), count)
                if activation == .relu { append(.relu(ReferenceReLU(count: count)), count) }
            case .maxPool2D: append(.maxPool2D(ReferenceMaxPool2D(layer)), count)
            case .flatten: break
            case .dense(_, let activation, _):
                append(.dense(ReferenceDense(layer, network.parameters)), count)
                if activation == .relu { append(.relu(ReferenceReLU(count: count)), count) }
            case .relu: append(.relu(ReferenceReLU(count: count)), count)
            case .dropout(let rate):
                let dropout = ReferenceDropout<Scalar>(
                    count: count, rate: rate, layerIndex: layer.index, seed: seed)
                append(.dropout(dropout), count)
            }
        }
        return stages
    }
}

extension ReferenceConv2D {
    fileprivate init(_ layer: NetworkLayer, _ parameters: ParameterLayout) {
        guard case .conv2D(let filters, let kernel, let stride, _, _, _) = layer.specification
        else {
            preconditionFailure("\(layer.name) is not a convolution")
        }
        self.init(
            channels: layer.inputShape[0], height: layer.inputShape[1], width: layer.inputShape[2],
            filters: filters, outputHeight: layer.outputShape[1], outputWidth: layer.outputShape[2],
            kernel: kernel, stride: stride, padding: layer.padding,
            weightOffset: parameters.slots[layer.weightSlot!].offset,
            biasOffset: parameters.slots[layer.biasSlot!].offset)
    }
}

extension ReferenceMaxPool2D {
    fileprivate init(_ layer: NetworkLayer) {
        guard case .maxPool2D(let size, let stride, _) = layer.specification else {
            preconditionFailure("\(layer.name) is not a pool")
        }
        self.init(
            channels: layer.inputShape[0], height: layer.inputShape[1], width: layer.inputShape[2],
            outputHeight: layer.outputShape[1], outputWidth: layer.outputShape[2], size: size,
            stride: stride, padding: layer.padding)
    }
}

extension ReferenceDense {
    fileprivate init(_ layer: NetworkLayer, _ parameters: ParameterLayout) {
        self.init(
            inputCount: layer.inputElementCount, outputCount: layer.outputElementCount,
            weightOffset: parameters.slots[layer.weightSlot!].offset,
            biasOffset: parameters.slots[layer.biasSlot!].offset)
    }
}
