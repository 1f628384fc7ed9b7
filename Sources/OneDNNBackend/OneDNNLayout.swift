import COneDNN
import NeuralNetwork

/// The element type, the shape, and the order of the elements of a tensor in memory.
///
/// Safety: a layout owns one handle of the C shim and keeps alive what the handle refers to. The
/// objects of one engine stay on its thread.
final class OneDNNLayout {
    enum Order {
        /// The operation chooses the order.
        case any
        /// The last dimension is contiguous.
        case rowMajor
        /// [N, C/b, H, W, b]. b = 1 is row-major; b = C is channels last.
        case channelBlock(Int)
    }

    let handle: OpaquePointer
    let element: OneDNNElement
    let shape: [Int]
    /// The shape as stored, with the padding that the order needs.
    let paddedShape: [Int]
    /// The bytes in memory, padding included.
    let byteCount: Int
    /// The b of [N, C/b, H, W, b]; nil where the order is not one of these.
    let channelBlock: Int?

    private init(adopting handle: OpaquePointer, element: OneDNNElement) {
        self.handle = handle
        self.element = element
        var info = convoy_dnnl_layout_info()
        convoy_dnnl_layout_describe(handle, &info)
        let rank = Int(info.rank)
        func array(_ tuple: (Int64, Int64, Int64, Int64, Int64)) -> [Int] {
            Array([tuple.0, tuple.1, tuple.2, tuple.3, tuple.4].prefix(rank)).map { Int($0) }
        }
        shape = array(info.dimensions)
        paddedShape = array(info.padded_dimensions)
        byteCount = info.byte_count
        channelBlock = info.channel_block == 0 ? nil : Int(info.channel_block)
    }

    convenience init(_ element: OneDNNElement, _ shape: [Int], _ order: Order) throws(BackendError) {
        var handle: OpaquePointer?
        let dimensions = shape.map { Int64($0) }
        try OneDNNLibrary.check(
            convoy_dnnl_layout_create(
                &handle, element.code, Int32(shape.count), dimensions, Self.code(order)),
            "describing \(shape)")
        self.init(adopting: handle!, element: element)
    }

    /// Creates the layout that an operation wants for an argument, or returns nil where the
    /// operation has no such argument.
    convenience init?(
        of operation: OneDNNOperation, _ argument: OneDNNArgument, element: OneDNNElement
    ) {
        var handle: OpaquePointer?
        guard convoy_dnnl_operation_layout(operation.handle, argument.code, &handle) == 0
        else { return nil }
        self.init(adopting: handle!, element: element)
    }

    deinit { convoy_dnnl_layout_destroy(handle) }

    /// The number of elements without padding.
    var elementCount: Int { shape.reduce(1, *) }
    /// The number of elements in memory, padding included.
    var storedElementCount: Int { byteCount / element.byteCount }
    /// Whether the layout is row-major without padding, so that the elements lie in the order of
    /// the flat vector.
    var isPlain: Bool { channelBlock == 1 && shape == paddedShape }

    func isEqual(_ other: OneDNNLayout) -> Bool {
        convoy_dnnl_layout_equal(handle, other.handle) != 0
    }

    private static func code(_ order: Order) -> convoy_dnnl_order {
        switch order {
        case .any: convoy_dnnl_order_any
        case .rowMajor, .channelBlock(1): convoy_dnnl_order_row_major
        case .channelBlock(4): convoy_dnnl_order_blocked_4
        case .channelBlock(8): convoy_dnnl_order_blocked_8
        case .channelBlock(16): convoy_dnnl_order_blocked_16
        case .channelBlock: convoy_dnnl_order_channels_last
        }
    }
}
