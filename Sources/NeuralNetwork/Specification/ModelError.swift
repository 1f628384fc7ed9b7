import StrictYAML

/// A model that cannot be built, and why.
public enum ModelError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text is not a model file.
    case settings(SettingsError)
    /// A layer does not fit what comes before it. `number` counts from 1.
    case layer(model: String, number: Int, name: String, problem: String)
    /// The model as a whole is not usable.
    case model(model: String, problem: String)

    public var description: String {
        switch self {
        case .settings(let error): error.description
        case .layer(let model, let number, let name, let problem):
            "\(model): layer \(number) (\(name)): \(problem)"
        case .model(let model, let problem): "\(model): \(problem)"
        }
    }

    /// The same error with the file named in place of the model.
    func inFile(_ fileName: String) -> ModelError {
        switch self {
        case .settings: self
        case .layer(_, let number, let name, let problem):
            .layer(model: fileName, number: number, name: name, problem: problem)
        case .model(_, let problem): .model(model: fileName, problem: problem)
        }
    }
}
