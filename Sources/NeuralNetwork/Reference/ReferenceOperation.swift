/// The computation of one node for all records of a microbatch, in plain loops.
///
/// The passes are specialised for Float and Double by hand: they are called by the protocol, where
/// the compiler does not see the type. An object belongs to one thread. It may keep what the
/// backward pass needs of the forward pass.
package protocol ReferenceOperation<Scalar>: AnyObject {
    associatedtype Scalar: ReferenceScalar

    /// Writes the output.
    func forward(_ pass: ReferencePass<Scalar>)
    /// Overwrites the gradients of the inputs, and adds to the gradients of the parameters. It runs
    /// after `forward` on the same records.
    func backward(_ pass: ReferencePass<Scalar>)
}

/// What a node reads and writes in one pass.
package struct ReferencePass<Scalar: ReferenceScalar> {
    /// The number of records.
    var count: Int
    /// The inputs, each row-major [count, elements].
    var inputs: [UnsafePointer<Scalar>]
    /// The output, row-major [count, elements].
    var output: UnsafeMutablePointer<Scalar>
    /// The flat parameter vector.
    var parameters: UnsafePointer<Scalar>
    /// Whether statistics are those of these records; otherwise they are the running ones.
    var isTraining: Bool
    /// What the dropout masks are keyed by; nil where nothing is dropped.
    var dropout: ReferenceDropoutKey?
    /// The gradient of the output, as the output; nil in a forward pass.
    var outputGradient: UnsafePointer<Scalar>!
    /// The memory for the gradients of the inputs, each as its input; empty in a forward pass.
    var inputGradients: [UnsafeMutablePointer<Scalar>] = []
    /// The flat gradient; nil in a forward pass.
    var parameterGradient: UnsafeMutablePointer<Scalar>!
}

/// What the dropout masks of a microbatch are keyed by.
struct ReferenceDropoutKey {
    var seed: UInt64
    var epoch: Int
    /// The global numbers of the records.
    var records: [UInt64]
}

/// An operation that computes each element of its output from the same element of its input.
final class ReferenceMap<Scalar: ReferenceScalar>: ReferenceOperation {
    private let count: Int
    private let function: (Scalar) -> Scalar
    private let derivative: (Scalar) -> Scalar

    /// Creates the operation.
    ///
    /// - Parameters:
    ///   - count: the number of elements of a record.
    ///   - function: returns an element of the output for one of the input.
    ///   - derivative: returns the derivative of `function`.
    init(
        _ count: Int, _ function: @escaping (Scalar) -> Scalar,
        derivative: @escaping (Scalar) -> Scalar
    ) {
        self.count = count
        self.function = function
        self.derivative = derivative
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func forward(_ pass: ReferencePass<Scalar>) {
        for i in 0..<count * pass.count { pass.output[i] = function(pass.inputs[0][i]) }
    }

    @_specialize(where Scalar == Float)
    @_specialize(where Scalar == Double)
    func backward(_ pass: ReferencePass<Scalar>) {
        for i in 0..<count * pass.count {
            pass.inputGradients[0][i] = pass.outputGradient[i] * derivative(pass.inputs[0][i])
        }
    }
}
