import CPictures

/// Memory for decoding and resizing that is used again for each picture.
///
/// Threads: a scratch belongs to one thread at a time.
public final class PictureScratch {
    // Safety: the pointer comes from convoy_picture_scratch_create and is freed once, in deinit. It
    // never leaves this module, and only calls that hold the object use it.
    let pointer: OpaquePointer

    /// Makes a scratch that holds no memory for pictures yet.
    public init() {
        guard let pointer = convoy_picture_scratch_create() else {
            fatalError("no memory for a scratch of pictures")
        }
        self.pointer = pointer
    }

    deinit { convoy_picture_scratch_free(pointer) }
}

@available(*, unavailable)
extension PictureScratch: Sendable {}
