import Buffers
import ClusterProtocol
import ZeroMQ

/// The processes of this host that one thread exchanges floats with by reading one another's memory.
///
/// A neighbour is told where floats lie: by a record in its pipe or, when it has none or that is full,
/// in a short message. Everyone else is sent the floats.
///
/// Threading: one thread's.
struct HostNeighbours<Peer: Hashable> {
    private let identity: PeerIdentity
    private let kind: BulkKind
    private let meter: SocketMeter
    private let pipedCount: SocketMeter.Count
    /// Whether the run lets processes share memory at all.
    private var isSharing = false
    /// Where neighbours tell of floats in their memory; nil where the system gives no pipe.
    private var inbox: PipeInbox?
    private var outlets = PipeOutlets()
    private var windows = SharedWindows()
    /// Those that read this process's memory, and where they are told without a socket.
    private var readers: [Peer: SharedPayload.Memory?] = [:]
    /// Those whose memory could not be read.
    private var strangers: Set<Peer> = []

    /// - Parameters:
    ///   - kind: of the messages that neighbours send.
    ///   - meter: counts what goes by pipes as the messages that it replaces.
    ///   - pipedCount: counts the records that come by the pipe.
    init(
        of identity: PeerIdentity, sending kind: BulkKind, meter: SocketMeter,
        pipedCount: SocketMeter.Count
    ) {
        self.identity = identity
        self.kind = kind
        self.meter = meter
        self.pipedCount = pipedCount
    }

    // MARK: Who

    /// From now on there can be neighbours.
    mutating func open() {
        isSharing = true
        inbox = PipeInbox(for: kind)
    }

    mutating func close() {
        forget()
        isSharing = false
        inbox?.close()
    }

    /// Nobody is a neighbour, or known not to be one.
    mutating func forget() {
        readers = [:]
        strangers = []
    }

    /// Whether there are no neighbours.
    var isEmpty: Bool { readers.isEmpty }

    func contains(_ peer: Peer) -> Bool { readers[peer] != nil }

    /// Whether a peer that says it is on this host may be taken at its word.
    func mayAdmit(_ peer: Peer) -> Bool { isSharing && !strangers.contains(peer) }

    /// - Parameter pipe: the peer's, if it has one.
    mutating func admit(_ peer: Peer, pipe: SharedPayload.Memory?) {
        guard mayAdmit(peer), contains(peer) || readers.count < Self.bound else { return }
        readers[peer] = .some(pipe)
    }

    /// It is sent floats again.
    mutating func dismiss(_ peer: Peer) { readers[peer] = nil }

    private static var bound: Int { ShardMachine.maximumSubscriberCount }

    // MARK: What they are told

    /// Frames that bring floats to a peer; nil when it has been told by its pipe.
    ///
    /// - Parameters:
    ///   - place: where they lie; nil where others cannot read it.
    ///   - whole: frames with the floats.
    mutating func frames(
        telling peer: Peer, _ header: BulkHeader, _ precision: WirePrecision,
        place: @autoclosure () -> SharedPayload?, whole: () -> [Frame]
    ) -> [Frame]? {
        guard let pipe = readers[peer], let place = place() else { return whole() }
        if let pipe, outlets.send(header, place, precision, from: identity, to: pipe) {
            meter.sent.add(PipeRecord.messageByteCount)
            return nil
        }
        return BulkMessage.frames(header, shared: place, precision)
    }

    // MARK: What they tell

    /// Where neighbours put what they tell; nil without a pipe.
    var place: SharedPayload.Memory? { inbox?.place }

    /// What to wait for; nil without a pipe.
    var pollItem: PollItem? { inbox?.pollItem }

    /// What came by the pipe, and whether it has ended with that.
    mutating func receive() -> PipeInbox.Received {
        guard let received = inbox?.receive() else { return PipeInbox.Received() }
        meter.received.add(received.records.count * PipeRecord.messageByteCount)
        pipedCount.add(received.records.count)
        return received
    }

    /// Copies floats out of a peer's memory. One whose memory cannot be read is no neighbour: it hears
    /// so by floats that come in messages, and sends its own that way too.
    mutating func copy(
        _ place: SharedPayload, of peer: Peer, to target: FloatBuffer, at element: Int = 0,
        byteCount: Int
    ) -> SharedWindows.Outcome {
        let outcome = windows.copy(place, to: target, at: element, byteCount: byteCount)
        if outcome == .unavailable {
            dismiss(peer)
            if strangers.count < Self.bound { strangers.insert(peer) }
        }
        return outcome
    }
}
