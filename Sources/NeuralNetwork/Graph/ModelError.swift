import StrictYAML

/// The reason why a model cannot be built.
public enum ModelError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text is not a model file.
    case settings(SettingsError)
    /// A layer is invalid, or does not fit the layers before it. `number` counts layers from 1.
    case layer(model: String, number: Int, name: String, problem: String)
    /// The model as a whole cannot be used.
    case model(model: String, problem: String)

    /// The message for the user. It names the file or the model, and the line or the layer.
    public var description: String {
        switch self {
        case .settings(let error): error.description
        case .layer(let model, let number, let name, let problem):
            "\(model): layer \(number) (\(name)): \(problem)"
        case .model(let model, let problem): "\(model): \(problem)"
        }
    }

    /// Returns the error with the file's name in place of the model's name.
    func inFile(_ fileName: String) -> ModelError {
        switch self {
        case .settings: self
        case .layer(_, let number, let name, let problem):
            .layer(model: fileName, number: number, name: name, problem: problem)
        case .model(_, let problem): .model(model: fileName, problem: problem)
        }
    }
}
