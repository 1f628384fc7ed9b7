extension ModelPreset {
    /// Three 3×3 convolutions, two pools and two dense layers: 122,570 parameters for inputs of
    /// [3, 32, 32] and 10 classes.
    static let cnn = ModelPreset(
        "cnn", [3, 32, 32],
        "The network of TensorFlow's tutorial \"Convolutional Neural Network (CNN)\", with dropout."
    ) { model, _, classCount in
        let three = Size2D(3)
        let two = Size2D(2)
        model.add(.conv2D(filters: 32, kernel: three, activation: .relu))
        model.add(.maxPool2D(size: two, stride: two))
        model.add(.conv2D(filters: 64, kernel: three, activation: .relu))
        model.add(.maxPool2D(size: two, stride: two))
        model.add(.conv2D(filters: 64, kernel: three, activation: .relu))
        model.add(.flatten)
        model.add(.dense(units: 64, activation: .relu))
        model.add(.dropout(rate: 0.5))
        model.add(.dense(units: classCount))
    }
}
