import NeuralNetwork
import Partitions
import RunFiles

/// Trains `cnn`, says how good it is, saves it, and reads it back to classify an image.
func trainAndPredict(_ source: String, steps: Int, saveTo path: String) throws -> Int {
    var settings = RunConfiguration()
    settings.data.source = source
    settings.training.steps = steps

    let trainer = try Trainer(settings, threadCount: 2)
    try trainer.train { step in
        if step.step % 100 == 0 { print("step \(step.step): loss \(step.loss)") }
    }
    let model = try trainer.model()
    let found = try model.evaluate(trainer.data)
    print("accuracy \(found.accuracy) on \(found.records) test records")
    try model.save(to: path)

    let again = try Model(contentsOf: path)
    let image = try trainer.data.gather(.test, records: [0]).images
    return try again.predict([image])[0].label
}
