import ClusterProtocol

/// Renders values as words of a transcript, by reflection: a new case or field changes a
/// transcript, never this code.
enum Rendering {
    /// Fields that are left out of transcripts.
    private static let hidden: Set<String> = [
        "configuration", "data", "bulkEndpoint", "dataEndpoint", "endpoint", "publicKey",
        "results",
    ]

    static func text(_ value: Any) -> String {
        switch value {
        case let summary as CoordinatorMachine.PeerSummary: return summary.name
        case let text as String: return text
        case let list as [Any]: return "[\(list.map(text).joined(separator: ", "))]"
        default: break
        }
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional: return mirror.children.first.map { text($0.value) } ?? "none"
        case .set: return "[\(mirror.children.map { text($0.value) }.sorted().joined(separator: ", "))]"
        case .dictionary:
            let pairs = mirror.children.map { fields($0.value).joined(separator: ": ") }
            return "[\(pairs.sorted().joined(separator: ", "))]"
        case .enum: return enumeration(value, mirror)
        case .struct where !(value is any CustomStringConvertible):
            return "(\(fields(value).joined(separator: ", ")))"
        case .tuple: return fields(value).joined(separator: ", ")
        default: return "\(value)"
        }
    }

    private static func enumeration(_ value: Any, _ mirror: Mirror) -> String {
        guard let child = mirror.children.first, let name = child.label else { return "\(value)" }
        let payload = Mirror(reflecting: child.value)
        let isBare =
            payload.displayStyle == .struct && !(child.value is any CustomStringConvertible)
            && !(child.value is CoordinatorMachine.PeerSummary)
        if payload.displayStyle == .tuple || isBare {
            let inner = fields(child.value).joined(separator: ", ")
            return inner.isEmpty ? name : "\(name): \(inner)"
        }
        return "\(name): \(text(child.value))"
    }

    /// Returns the values of a case or a struct by name, for tests that need only some of them.
    static func named(_ value: Any) -> [String: String] {
        let mirror = Mirror(reflecting: value)
        let isCase = mirror.displayStyle == .enum
        let inner = isCase ? mirror.children.first.map { Mirror(reflecting: $0.value) } : mirror
        var result: [String: String] = [:]
        for child in inner?.children ?? mirror.children {
            if let label = child.label { result[label] = text(child.value) }
        }
        return result
    }

    private static func fields(_ value: Any) -> [String] {
        Mirror(reflecting: value).children.compactMap { child in
            guard let label = child.label, !label.hasPrefix("."), label != "key", label != "value" else {
                return text(child.value)
            }
            return hidden.contains(label) ? nil : "\(label) \(text(child.value))"
        }
    }
}
