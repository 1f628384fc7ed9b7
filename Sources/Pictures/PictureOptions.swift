public struct PictureOptions: Sendable, Hashable {
    public init() {}
    public var canonicalText: String { "" }
}
