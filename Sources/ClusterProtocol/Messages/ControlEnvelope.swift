extension ControlMessage {
    /// The word in the `kind` field of the message's frame.
    public var kind: String {
        switch self {
        case .hello: "hello"
        case .ready: "ready"
        case .heartbeat: "heartbeat"
        case .shardReady: "shard-ready"
        case .progress: "progress"
        case .holding: "holding"
        case .evaluated: "evaluated"
        case .leaving: "leaving"
        case .failed: "failed"
        case .disputed: "disputed"
        case .contradicted: "contradicted"
        case .statusRequest: "status-request"
        case .recompute: "recompute"
        case .welcome: "welcome"
        case .refused: "refused"
        case .host: "host"
        case .assignment: "assignment"
        case .hold: "hold"
        case .snapshot: "snapshot"
        case .evaluate: "evaluate"
        case .alive: "alive"
        case .introduce: "introduce"
        case .shutdown: "shutdown"
        case .status: "status"
        }
    }

    /// The value of the `body` field of the message's frame.
    public var body: any Codable & Sendable {
        switch self {
        case .hello(let body): body
        case .ready(let body): body
        case .heartbeat(let body): body
        case .shardReady(let body): body
        case .progress(let body): body
        case .holding(let body): body
        case .evaluated(let body): body
        case .leaving(let body): body
        case .failed(let body): body
        case .disputed(let body): body
        case .contradicted(let body): body
        case .statusRequest(let body): body
        case .recompute(let body): body
        case .welcome(let body): body
        case .refused(let body): body
        case .host(let body): body
        case .assignment(let body): body
        case .hold(let body): body
        case .snapshot(let body): body
        case .evaluate(let body): body
        case .alive(let body): body
        case .introduce(let body): body
        case .shutdown(let body): body
        case .status(let body): body
        }
    }
}

/// A control message as it is decoded from its JSON frame.
public struct ControlEnvelope: Decodable, Sendable {
    /// The message.
    public let message: ControlMessage

    /// The error for a frame of another protocol version or of an unknown kind.
    public struct Foreign: Error, Hashable, Sendable {
        /// The frame's protocol version.
        public var version: Int
        /// The frame's kind.
        public var kind: String

        /// Creates the error.
        public init(version: Int, kind: String) {
            self.version = version
            self.kind = kind
        }
    }

    private enum Key: String, CodingKey {
        case version, kind, body
    }

    /// Decodes a frame.
    ///
    /// - Throws: `Foreign` for another protocol version or an unknown kind, and `DecodingError` for a
    ///   frame that is malformed.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        let version = try container.decode(Int.self, forKey: .version)
        let kind = try container.decode(String.self, forKey: .kind)
        // A refusal is understood in every version, since the version may be what is refused.
        guard version == ControlMessage.version || kind == "refused" else {
            throw Foreign(version: version, kind: kind)
        }
        func body<Body: Decodable>() throws -> Body {
            try container.decode(Body.self, forKey: .body)
        }
        switch kind {
        case "hello": message = .hello(try body())
        case "ready": message = .ready(try body())
        case "heartbeat": message = .heartbeat(try body())
        case "shard-ready": message = .shardReady(try body())
        case "progress": message = .progress(try body())
        case "holding": message = .holding(try body())
        case "evaluated": message = .evaluated(try body())
        case "leaving": message = .leaving(try body())
        case "failed": message = .failed(try body())
        case "disputed": message = .disputed(try body())
        case "contradicted": message = .contradicted(try body())
        case "status-request": message = .statusRequest(try body())
        case "recompute": message = .recompute(try body())
        case "welcome": message = .welcome(try body())
        case "refused": message = .refused(try body())
        case "host": message = .host(try body())
        case "assignment": message = .assignment(try body())
        case "hold": message = .hold(try body())
        case "snapshot": message = .snapshot(try body())
        case "evaluate": message = .evaluate(try body())
        case "alive": message = .alive(try body())
        case "introduce": message = .introduce(try body())
        case "shutdown": message = .shutdown(try body())
        case "status": message = .status(try body())
        default: throw Foreign(version: version, kind: kind)
        }
    }
}
