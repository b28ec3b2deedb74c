# Import work_queue module
from work_queue import WorkQueue, WORK_QUEUE_SCHEDULE_FILES

# Create master work queue
wq = WorkQueue()

# Set catalog project name
wq.specify_name('project.name')

# Set selection algorithm
wq.specify_algorithm(
    WORK_QUEUE_SCHEDULE_FILES)

# Set fast abort factor
wq.activate_fast_abort(1.5)

# Import work_queue module
from work_queue import Task

# Create task
task = Task('date > output.txt')

# Specify output file
task.specify_output_file('output.txt')

# Submit task to master
wq.submit(task)
