import NeuralNetwork
import RunFiles

/// Makes the engine of one compute thread, on that thread.
///
/// - Parameters:
///   - material: the run.
///   - usual: makes the engine of the run's backend, for a maker that wraps it.
package typealias EngineMaker =
    @Sendable (
        _ material: RunMaterial, _ usual: () throws(BackendError) -> any GradientEngine
    ) throws(BackendError) -> any GradientEngine
