/// Receives the second labels of a microbatch's records, and the weights of their own labels.
struct LabelMixture {
    /// The second labels, [count].
    let labels: UnsafeMutablePointer<Int32>
    /// The weights of the records' own labels, [count], from 0 to 1. The second label has the rest.
    let weights: UnsafeMutablePointer<Float>
}
