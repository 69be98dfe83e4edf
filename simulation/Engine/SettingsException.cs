namespace XenTwoLevelCkpt.Simulation;

/// <summary>A setting of a study is out of range. The message is one line that says what was wrong and what would be right.
/// </summary>
/// <param name="message">The line.</param>
public sealed class SettingsException(string message) : Exception(message);
