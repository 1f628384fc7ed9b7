/// Decides what a worker asks for while it fetches one object: a window of pieces, in order.
///
/// Pieces are accepted in order only. After a loss or a restart of the other side, the worker asks
/// again for everything beyond the bytes that it has, so that memory never holds more than the window.
public struct Download: Hashable, Sendable {
    /// The number of pieces that are asked for and have not arrived: 2 MiB, enough for 10 Gbit/s at a
    /// round trip of 1.5 ms.
    public static let windowPieceCount = 8
    /// The silence after which the worker asks again. It doubles each time, so that a busy network does
    /// not become busier.
    public static let retryInterval = Duration.seconds(1)
    /// The longest silence after which the worker asks again.
    public static let maximumRetryInterval = Duration.seconds(16)
    /// The silence after which the worker gives up.
    public static let patience = Duration.seconds(120)

    /// Something that the download wants done.
    public enum Action: Hashable, Sendable {
        /// Send this question.
        case ask(DataHeader)
        /// Append the payload of the piece just received.
        case append
        /// The object is complete.
        case finish
        /// Nothing has come for `patience`.
        case giveUp
        /// The other side gives another length of the object than before.
        case contradict(expected: Int, found: Int)
    }

    /// The object that is fetched.
    public let object: DataObject
    /// The number of bytes that have arrived, which is the offset of the next piece.
    public private(set) var offset = 0
    /// The length of the object; nil before the first piece.
    public private(set) var totalByteCount: Int?
    /// The end of the bytes that were asked for.
    private var askedEnd = 0
    private var lastAsked: Moment
    private var lastArrival: Moment
    private var retryInterval = Self.retryInterval
    private var isOver = false

    /// Creates a download that has asked for nothing yet.
    public init(_ object: DataObject, now: Moment) {
        self.object = object
        lastAsked = now
        lastArrival = now
    }

    /// Asks for the first piece.
    public mutating func start(now: Moment) -> [Action] { askAgain(now: now) }

    /// Asks for everything beyond the bytes that have arrived, since another side answers from now on.
    public mutating func move(now: Moment) -> [Action] {
        guard !isOver else { return [] }
        retryInterval = Self.retryInterval
        lastArrival = now
        return askAgain(now: now)
    }

    private mutating func askAgain(now: Moment) -> [Action] {
        askedEnd = offset
        return fillWindow(now: now)
    }

    /// Takes in a piece; pieces that are not the next one are dropped.
    public mutating func receive(_ piece: DataHeader, now: Moment) -> [Action] {
        guard !isOver, piece.kind == .piece, piece.object == object, piece.offset == offset else {
            return []
        }
        if let totalByteCount, totalByteCount != piece.totalByteCount {
            isOver = true
            return [.contradict(expected: totalByteCount, found: piece.totalByteCount)]
        }
        let end = offset + piece.payloadByteCount
        guard end <= piece.totalByteCount,
            piece.payloadByteCount <= DataHeader.maximumPieceByteCount,
            piece.payloadByteCount > 0 || piece.totalByteCount == 0
        else { return [] }
        totalByteCount = piece.totalByteCount
        offset = end
        lastArrival = now
        askedEnd = max(askedEnd, end)
        if end == piece.totalByteCount {
            isOver = true
            return [.append, .finish]
        }
        return [.append] + fillWindow(now: now)
    }

    /// Asks again, or gives up, after a silence. To be called regularly.
    public mutating func tick(now: Moment) -> [Action] {
        guard !isOver else { return [] }
        if now - lastArrival >= Self.patience {
            isOver = true
            return [.giveUp]
        }
        guard now - max(lastAsked, lastArrival) >= retryInterval else { return [] }
        retryInterval = min(retryInterval * 2, Self.maximumRetryInterval)
        return askAgain(now: now)
    }

    private mutating func fillWindow(now: Moment) -> [Action] {
        let size = DataHeader.maximumPieceByteCount
        // Until the length is known, one piece is enough to learn it.
        let window = totalByteCount == nil ? size : size * Self.windowPieceCount
        let end = min(totalByteCount ?? Int.max, offset + window)
        var actions: [Action] = []
        while askedEnd < end {
            let count = min(size, (totalByteCount ?? Int.max) - askedEnd)
            actions.append(.ask(DataHeader(.ask, object, offset: askedEnd, askedByteCount: count)))
            askedEnd += count
        }
        if !actions.isEmpty { lastAsked = now }
        return actions
    }
}
